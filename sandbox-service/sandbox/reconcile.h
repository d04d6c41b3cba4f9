/* sandbox-service/sandbox/reconcile.h: makes engine, directories and rows agree.
 *
 * Rows that are `creating` by nobody fail; living rows whose container has ended, or whose agent is
 * lost, end; what was to pause or resume, or to stay paused, does; what runs is on the network that
 * its row says (reconcile/drift.h); rows that are `stopping` get their rest removed; containers,
 * directories and locks without a living row are removed, but for containers that no row has ever
 * told of: the database was restored (reconcile/unknown.h). */
#ifndef SANDBOX_SANDBOX_RECONCILE_H
#define SANDBOX_SANDBOX_RECONCILE_H

#include "common/base/err.h"

struct reconciler;
struct sandboxes;

/* Called on the loop after each run, with how it went. */
typedef void reconciled_fn(const struct err *err, void *arg);

/* Nothing happens before reconciler_run. on_done may be NULL. */
struct reconciler *reconciler_open(struct sandboxes *sandboxes, reconciled_fn *on_done, void *arg,
                                   struct err *err) MUST_CHECK;
/* Ends what it has asked the database; later runs fail. Returns whether anything was under way. */
bool reconciler_fail_all(struct reconciler *reconciler);
/* After reconciler_fail_all, and before Redis is closed. Accepts NULL. */
void reconciler_close(struct reconciler *reconciler);

/* Runs now, or again as soon as the present run is over; then every RECONCILE_INTERVAL_S.
 * engine_was_away: what is found ended may have been ended by the engine itself. */
void reconciler_run(struct reconciler *reconciler, bool engine_was_away);

#endif
