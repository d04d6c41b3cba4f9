/* sandbox-service/reconcile/drift.h: sandboxes that run on another network than their rows say:
 * somebody connected or disconnected them behind our back. They are put where they belong, as after
 * a change that stopped half-way (network/networks.h). Networks that are not ours are none of it.
 */
#ifndef SANDBOX_RECONCILE_DRIFT_H
#define SANDBOX_RECONCILE_DRIFT_H

#include "common/base/err.h"
#include "common/base/id.h"

struct bulk_store;
struct drift;
struct sandboxes;

/* Borrows both. */
struct drift *drift_new(struct sandboxes *sandboxes, struct bulk_store *store,
                        struct err *err) MUST_CHECK;
/* After bulk_store_fail_all. Accepts NULL. */
void drift_free(struct drift *drift);

/* Around the notes of one run. */
void drift_begin(struct drift *drift);
/* network: the row's, "none"; networks: those that its container was seen on, as wire_listed's. One
 * that is just being changed may be seen on neither: it is looked at again. */
void drift_note(struct drift *drift, const char sandbox_id[ID_SIZE], const char *network,
                const char *networks);
void drift_end(struct drift *drift);

#endif
