/* sandbox-service/pool/pool.h: keeps containers started and waiting, so that a create need not.
 *
 * What there is stands in PostgreSQL (migrations/0023_pool.sql): the pool of this process is only
 * the hand that fills it up, one look at a time, and outlives it. To the reconciler those that wait
 * are as sandboxes, so that a dead one, one whose agent is lost, and one that nobody is starting
 * any more go the way of all. Refilling yields: it begins when no create waits for the engine, and
 * when claims pause (pace.h). */
#ifndef SANDBOX_POOL_POOL_H
#define SANDBOX_POOL_POOL_H

#include "common/base/err.h"

struct pool;
struct sandboxes;

/* Borrows both; limits is tiers_write's. Looks for the first time at once. */
struct pool *pool_open(struct sandboxes *sandboxes, const char *limits, struct err *err) MUST_CHECK;
/* Ends what is in flight. Returns whether there may have been anything. */
bool pool_fail_all(struct pool *pool);
/* When no creation is in flight. Accepts NULL. */
void pool_close(struct pool *pool);

/* One was claimed: another takes its place soon. Accepts NULL. */
void pool_claimed(struct pool *pool);

#endif
