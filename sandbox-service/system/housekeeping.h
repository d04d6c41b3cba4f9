/* sandbox-service/system/housekeeping.h: forgets, once an hour, what was kept long enough:
 * sandboxes that ended, a batch at a time (of the nodes of an instance one does it at a time); what
 * the audit trail has of persons; images, and volumes of older agents, that nothing uses. */
#ifndef SANDBOX_SYSTEM_HOUSEKEEPING_H
#define SANDBOX_SYSTEM_HOUSEKEEPING_H

#include "common/base/err.h"

struct housekeeping;
struct sandboxes;

/* Borrows sandboxes. Begins by itself, a while after the start. */
struct housekeeping *housekeeping_open(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* After store_fail_all; NULL is fine. */
void housekeeping_close(struct housekeeping *housekeeping);

#endif
