/* sandbox-service/reconcile/leftovers.h: what sandboxes that have ended may have left in the tables
 * of ports and in Redis: nothing, unless an act that ended one was cut short. */
#ifndef SANDBOX_RECONCILE_LEFTOVERS_H
#define SANDBOX_RECONCILE_LEFTOVERS_H

#include "common/base/err.h"

struct bulk_store;
struct leftovers;
struct sandboxes;

/* Borrows both. */
struct leftovers *leftovers_new(struct sandboxes *sandboxes, struct bulk_store *store,
                                struct err *err) MUST_CHECK;
/* After bulk_store_fail_all. Accepts NULL. */
void leftovers_free(struct leftovers *leftovers);

/* Frees ports of ended sandboxes, and removes the keys of those that have ended since the last look
 * (the first time: in the last day, behind which keys go by themselves). What fails is done at the
 * next look. Does nothing while one is under way. */
void leftovers_look(struct leftovers *leftovers);

#endif
