/* sandbox-service/pool/rests.h: kinds that could not be started are left in peace for a while, each
 * by itself, the longer the more often it failed. */
#ifndef SANDBOX_POOL_RESTS_H
#define SANDBOX_POOL_RESTS_H

#include "sandbox-service/pool/targets.h"

/* Starts as zero. */
struct pool_rests {
    struct pool_rest {
        struct pool_kind kind; /* its words alone */
        int failures;          /* in a row; 0: it does not rest */
        int64_t until_ms;      /* monotonic */
    } items[POOL_KINDS_MAX];
};

/* The kind failed again. Returns for how long it rests. */
int64_t pool_rests_note(struct pool_rests *rests, const struct pool_kind *kind, int64_t now_ms);
/* It did not. */
void pool_rests_forget(struct pool_rests *rests, const struct pool_kind *kind);
bool pool_rests_has(const struct pool_rests *rests, const struct pool_kind *kind, int64_t now_ms);

#endif
