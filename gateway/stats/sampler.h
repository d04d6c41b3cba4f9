/* gateway/stats/sampler.h: asks every agent that is connected here what its sandbox uses, each
 * STATS_EVERY_MS, and gives the answers to the history. A sandbox has one agent and so one gateway
 * that asks; the asking is spread over the interval. It is nobody's activity. */
#ifndef GATEWAY_STATS_SAMPLER_H
#define GATEWAY_STATS_SAMPLER_H

#include "common/base/err.h"

struct gateway;
struct sampler;

enum {
    SAMPLER_SLOTS = 10,      /* of one interval; each sandbox has its own */
    SAMPLER_ASKS_MAX = 1024, /* unanswered; beyond, there is a gap */
};

/* Borrows gateway: loop, hub, stats_history. Begins at once. */
struct sampler *sampler_new(const struct gateway *gateway, struct err *err) MUST_CHECK;
/* Before the hub. NULL is fine. */
void sampler_free(struct sampler *sampler);

#endif
