/* auth-service/idempotency/keeper.h: keeps the answers of requests with an Idempotency-Key, sealed,
 * for 24 hours (common/contracts/idempotency.h). */
#ifndef AUTH_SERVICE_IDEMPOTENCY_KEEPER_H
#define AUTH_SERVICE_IDEMPOTENCY_KEEPER_H

#include "common/contracts/idempotency.h"
#include "common/db/pg.h"

struct idempotency;

/* Removes what is too old each minute. Borrows all; pg knows idempotency_statements. */
struct idempotency *idempotency_open(struct loop *loop, struct pg_pool *pg, struct view secret,
                                     struct err *err) MUST_CHECK;
/* After the pool was closed. Accepts NULL. */
void idempotency_close(struct idempotency *idempotency);

/* Each copies its message; done comes exactly once, later, on the loop, unless false is returned.
 * claimed is NULL when err is not; both are valid during the call only. */
typedef void idempotency_claimed_fn(const struct idempotency_claimed *claimed,
                                    const struct err *err, void *arg);
typedef void idempotency_done_fn(const struct err *err, void *arg);

bool idempotency_claim(struct idempotency *idempotency, const struct idempotency_claim *claim,
                       int64_t timeout_ms, idempotency_claimed_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
bool idempotency_renew(struct idempotency *idempotency, const struct idempotency_claim *claim,
                       int64_t timeout_ms, idempotency_done_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
bool idempotency_finish(struct idempotency *idempotency, const struct idempotency_finish *finish,
                        int64_t timeout_ms, idempotency_done_fn *done, void *arg,
                        struct err *err) MUST_CHECK;
bool idempotency_release(struct idempotency *idempotency, const struct idempotency_release *release,
                         int64_t timeout_ms, idempotency_done_fn *done, void *arg,
                         struct err *err) MUST_CHECK;

#endif
