/* sandbox-service/templates/sweep.h: from time to time, images of templates that have no row any
 * more are removed: their template was deleted while a container used them, or in a moment that
 * this process did not live to see. */
#ifndef SANDBOX_TEMPLATES_SWEEP_H
#define SANDBOX_TEMPLATES_SWEEP_H

#include "common/base/err.h"

struct sweep;
struct templates;

/* Borrows templates; nothing happens before sweep_now. */
struct sweep *sweep_open(struct templates *templates, struct err *err) MUST_CHECK;
/* The first of all. */
void sweep_now(struct sweep *sweep);
/* An image may be there that no row has, or could not go yet: a container that ends still has it.
 */
void sweep_soon(struct sweep *sweep);
/* When the store has ended what was in flight; NULL is fine. */
void sweep_close(struct sweep *sweep);

#endif
