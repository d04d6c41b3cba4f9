/* sandbox-service/pool/pace.h: when the pool looks next, and starts what is missing.
 *
 * Every few seconds it looks at all there is to see. Between these a claim, or one more that waits,
 * hurries a look that counts and starts what is missing; but a container that is being started
 * takes the processors from whoever claims just then. So it begins when no claim came for a moment:
 * a long one while half of what is to wait is there, else a short one, or with the regular look. */
#ifndef SANDBOX_POOL_PACE_H
#define SANDBOX_POOL_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_LOOK_MS = 5000,
    PACE_NOT_READY_MS = 500, /* of the engine, or the database */
    PACE_HURRY_MS = 20,      /* what is hurried meanwhile is one look */
    PACE_CALM_MS = 300,
    PACE_CALM_LOW_MS = 50, /* less than half waits */
};

/* Starts as zero: it looks at once. All times are monotonic. */
struct pace {
    bool hurried;
    int64_t spare;      /* so many may be claimed until less than half of a kind waits */
    int64_t claimed_ms; /* the last time */
    int64_t whole_ms;   /* when the next whole look is due */
};

void pace_claimed(struct pace *pace, int64_t now_ms);
/* A look begins: whether it is a whole one. */
bool pace_begin(struct pace *pace, int64_t now_ms);
/* It could not be done: the next is a whole one. */
void pace_fail(struct pace *pace, int64_t now_ms);
/* Whether nothing is started yet, though it be missing: claims come, and half of all waits. */
bool pace_gives_way(const struct pace *pace, int64_t now_ms);
/* How long the next look may wait. */
int64_t pace_wait_ms(const struct pace *pace, int64_t now_ms);

#endif
