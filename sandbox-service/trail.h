/* sandbox-service/trail.h: this service's part of the audit trail: what callers do to sandboxes and
 * their ports. The ends of sandboxes are told by the statements that make them (sandbox/store.c).
 */
#ifndef SANDBOX_TRAIL_H
#define SANDBOX_TRAIL_H

#include "common/audit/act.h"

struct trail;

/* Has a connection of its own, so that no statement of a caller waits for it. */
struct trail *trail_open(struct loop *loop, const char *database_url, struct err *err) MUST_CHECK;
/* Borrowed. */
struct audit_writer *trail_writer(const struct trail *trail);
/* After every act ended: what was not stored by then goes to the log. Accepts NULL. */
void trail_close(struct trail *trail);

#endif
