/* sandbox-service/pool/targets.h: how many containers are to wait for each kind of wish.
 *
 * The operator names kinds with a number that is always kept (WARM_POOLS); besides, what was asked
 * for in the last hour is kept ready for a minute as busy as its busiest one, up to a bound a kind.
 * All together stay within a budget of memory, counted by their limits: once claimed, a container
 * may use all of it. */
#ifndef SANDBOX_POOL_TARGETS_H
#define SANDBOX_POOL_TARGETS_H

#include "common/contracts/sandbox.h"
#include "sandbox-service/sandbox/tiers.h"

enum {
    POOL_KINDS_MAX = 64, /* what is asked for besides gets no pool */
    POOL_COUNT_MAX = 1000,
    POOL_WORD_SIZE = 16,
};

/* One kind: what containers of a pool have in common, and what is known of it. Starts as zero. */
struct pool_kind {
    char template_name[TEMPLATE_NAME_MAX + 1];
    char network[POOL_WORD_SIZE]; /* "none", "open" */
    enum tier tier;
    int64_t floor;  /* named by the operator */
    int64_t peak;   /* creates in the busiest minute */
    int64_t warm;   /* those that wait or are being started */
    int64_t target; /* what pool_kinds_plan found */
};
struct pool_kinds {
    struct pool_kind items[POOL_KINDS_MAX];
    size_t count;
};

/* Reads "base=2,python/none=4,base/open/pro=1", or "none": template[/network[/tier]]=count; without
 * a network it is default_network, without a tier the free one. False: it is not so; what says why.
 */
bool pool_kinds_read(const char *text, const char *default_network, struct pool_kinds *out,
                     const char **what) MUST_CHECK;

/* The kind of these three; a new one when there is none yet. NULL when there are too many. */
struct pool_kind *pool_kinds_find(struct pool_kinds *kinds, struct view template_name,
                                  struct view network, enum tier tier);

struct pool_bounds {
    int64_t adaptive_max; /* a kind; 0: only floors count */
    int64_t memory_mb;    /* of all */
    const struct tier_limits *tiers;
};
/* Sets every target: floors first, in their order, then the rest in turns. */
void pool_kinds_plan(struct pool_kinds *kinds, const struct pool_bounds *bounds);

/* The kind that misses most of its target, or (surplus) is over it by most; NULL: none. */
struct pool_kind *pool_kinds_neediest(struct pool_kinds *kinds);
struct pool_kind *pool_kinds_fullest(struct pool_kinds *kinds);
/* How many may be claimed, whichever, until less than half of what is to wait of a kind does:
 * negative when it is so already. */
int64_t pool_kinds_spare(const struct pool_kinds *kinds);

#endif
