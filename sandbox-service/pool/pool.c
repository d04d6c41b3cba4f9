#include "sandbox-service/pool/pool.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/pool/freshness.h"
#include "sandbox-service/pool/pace.h"
#include "sandbox-service/pool/rests.h"
#include "sandbox-service/pool/store.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/removal.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/starts.h"
#include "sandbox-service/sandbox/store.h"
#include "sandbox-service/system/room.h"

#include <stdlib.h>

enum {
    MEMORY_PART = 16,        /* of what may be promised: half of what the engine has */
    MEMORY_UNTOLD_MB = 1024, /* of an engine that does not tell */
};

/* A whole look: what is stale leaves, by its row and by its image; what there is and what was asked
 * for is counted; what is missing is started, and of the kind that has most too many the rest
 * leaves. One that was hurried only counts what there is and starts what is missing then. */
struct pool {
    struct sandboxes *sandboxes; /* borrowed */
    struct pool_store *store;    /* owned */
    struct timer due;
    struct pace pace;
    bool looking;
    struct pool_kinds kinds; /* as last seen */
    struct freshness freshness;
    size_t starting; /* containers */
    struct pool_rests rests;
    bool failing; /* the last look did: said once */
};

/* One container on its way. */
struct warming {
    struct create_waiter waiter;
    struct pool *pool; /* borrowed */
    struct pool_kind kind;
};

static void arm(struct pool *pool)
{
    timer_arm(&pool->due, pace_wait_ms(&pool->pace, clock_monotonic_ms()));
}

static void finish_look(struct pool *pool, const struct err *err)
{
    if (err != NULL && !pool->failing) {
        log_warn("pool.look_failed", LOG_ERR(err));
    }
    if (err != NULL) {
        pace_fail(&pool->pace, clock_monotonic_ms());
    }
    pool->failing = err != NULL;
    pool->looking = false;
    arm(pool);
}

/* Something changed: the look is hurried, or followed by one. */
static void hurry(struct pool *pool)
{
    pool->pace.hurried = true;
    if (!pool->looking) {
        arm(pool);
    }
}

static void note_failure(struct pool *pool, const struct pool_kind *kind, const struct err *err)
{
    int64_t wait_ms = pool_rests_note(&pool->rests, kind, clock_monotonic_ms());
    log_warn("pool.start_failed", LOG_STR("template", kind->template_name),
             LOG_STR("network", kind->network), LOG_ERR(err), LOG_INT("again_in_ms", wait_ms));
}

static void on_warmed(const struct view *info, const struct err *err, void *arg)
{
    (void)info;
    struct warming *warming = arg;
    struct pool *pool = warming->pool;
    const struct pool_kind kind = warming->kind;
    free(warming);
    pool->starting--;
    if (err != NULL) {
        note_failure(pool, &kind, err);
        return;
    }
    pool_rests_forget(&pool->rests, &kind);
    hurry(pool);
}

static bool start_one(struct pool *pool, const struct pool_kind *kind)
{
    struct err err = {0};
    const struct store_warm warm = {.template_name = kind->template_name,
                                    .network = kind->network,
                                    .tier = tier_name(kind->tier),
                                    .bundle = pool->sandboxes->agent_volume};
    struct warming *warming = calloc(1, sizeof *warming);
    if (warming == NULL) {
        err_set(&err, ERR_INTERNAL, "pool: out of memory");
        note_failure(pool, kind, &err);
        return false;
    }
    warming->pool = pool;
    warming->kind = *kind;
    warming->waiter = (struct create_waiter){.done = on_warmed, .arg = warming};
    if (!sandbox_create_warm(pool->sandboxes, &warm, &warming->waiter, &err)) {
        free(warming);
        note_failure(pool, kind, &err);
        return false;
    }
    pool->starting++;
    return true;
}

static bool may_start(const struct pool *pool)
{
    const struct sandboxes *sandboxes = pool->sandboxes;
    return pool->starting < (size_t)sandboxes->config->warm_pool_concurrency &&
           !sandboxes->draining && !room_is_short(sandboxes->room) &&
           starts_are_quiet(sandboxes->starts);
}

static void start_missing(struct pool *pool)
{
    bool can_open = network_is_open(pool->sandboxes->network);
    struct pool_kind *kind;
    if (pace_gives_way(&pool->pace, clock_monotonic_ms())) {
        pool->pace.hurried = true;
        return;
    }
    while (may_start(pool) && (kind = pool_kinds_neediest(&pool->kinds)) != NULL) {
        if ((!can_open && strcmp(kind->network, "open") == 0) ||
            pool_rests_has(&pool->rests, kind, clock_monotonic_ms())) {
            kind->warm = kind->target; /* not now */
        } else if (start_one(pool, kind)) {
            kind->warm++;
        }
    }
    pool->pace.spare = pool_kinds_spare(&pool->kinds);
}

static void remove_all(struct pool *pool, const PGresult *result, const char *why)
{
    for (int row = 0; row < pg_rows(result); row++) {
        const char *id = pool_store_read_id(result, row);
        log_info("pool.shed", LOG_STR("sandbox_id", id), LOG_STR("reason", why));
        sandbox_remove(pool->sandboxes, id, &trace_none);
    }
}

static void on_shed(const PGresult *result, const struct err *err, void *arg)
{
    struct pool *pool = arg;
    if (err == NULL) {
        remove_all(pool, result, "surplus");
    }
    finish_look(pool, err);
}

static void shed_surplus(struct pool *pool)
{
    struct err err = {0};
    const struct pool_kind *kind = pool_kinds_fullest(&pool->kinds);
    if (kind == NULL) {
        finish_look(pool, NULL);
    } else if (!pool_store_shed(pool->store, kind, kind->warm - kind->target, on_shed, pool,
                                &err)) {
        finish_look(pool, &err);
    }
}

/* A part of what may be promised, where nobody says how much. */
static int64_t budget_mb(const struct sandboxes *sandboxes)
{
    if (sandboxes->config->warm_pool_memory_mb > 0) {
        return sandboxes->config->warm_pool_memory_mb;
    }
    int64_t promised_mb = sandboxes->abilities.memory_mb;
    return promised_mb > 0 ? promised_mb / MEMORY_PART : MEMORY_UNTOLD_MB;
}

static void on_survey(const PGresult *result, const struct err *err, void *arg)
{
    struct pool *pool = arg;
    if (err != NULL) {
        finish_look(pool, err);
        return;
    }
    const struct sandbox_config *config = pool->sandboxes->config;
    const struct pool_bounds bounds = {.adaptive_max = config->warm_pool_max,
                                       .memory_mb = budget_mb(pool->sandboxes),
                                       .tiers = config->tiers};
    pool->kinds = config->warm_pools;
    for (int row = 0; row < pg_rows(result); row++) {
        pool_store_read_kind(result, row, &pool->kinds);
    }
    pool_kinds_plan(&pool->kinds, &bounds);
    start_missing(pool);
    shed_surplus(pool);
}

static void on_fresh(const PGresult *result, const struct err *err, void *arg)
{
    struct pool *pool = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish_look(pool, err);
        return;
    }
    if (result != NULL) {
        remove_all(pool, result, "image_changed");
    }
    if (!pool_store_survey(pool->store, on_survey, pool, &failure)) {
        finish_look(pool, &failure);
    }
}

static void on_stale(const PGresult *result, const struct err *err, void *arg)
{
    struct pool *pool = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish_look(pool, err);
        return;
    }
    remove_all(pool, result, "stale");
    if (!freshness_check(&pool->freshness, on_fresh, pool, &failure)) {
        finish_look(pool, &failure);
    }
}

static void on_counted(const PGresult *result, const struct err *err, void *arg)
{
    struct pool *pool = arg;
    if (err == NULL) {
        pool_store_read_counts(result, &pool->kinds);
        start_missing(pool);
    }
    finish_look(pool, err);
}

static void on_due(void *arg)
{
    struct pool *pool = arg;
    const struct sandboxes *sandboxes = pool->sandboxes;
    int64_t now_ms = clock_monotonic_ms();
    struct err err = {0};
    if (sandboxes->draining) {
        return;
    }
    if (!sandboxes->engine_ready || !docker_is_up(sandboxes->docker)) {
        pace_fail(&pool->pace, now_ms);
        arm(pool);
        return;
    }
    pool->looking = true;
    bool asked = pace_begin(&pool->pace, now_ms)
                     ? pool_store_shed_stale(pool->store, on_stale, pool, &err)
                     : pool_store_count(pool->store, on_counted, pool, &err);
    if (!asked) {
        finish_look(pool, &err);
    }
}

void pool_claimed(struct pool *pool)
{
    if (pool != NULL) {
        pace_claimed(&pool->pace, clock_monotonic_ms());
        hurry(pool);
    }
}

struct pool *pool_open(struct sandboxes *sandboxes, const char *limits, struct err *err)
{
    const struct sandbox_config *config = sandboxes->config;
    const struct pool_store_options options = {.url = config->database_url,
                                               .instance = config->instance,
                                               .node = config->node_name,
                                               .bundle = sandboxes->agent_volume,
                                               .limits = limits};
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        err_set(err, ERR_INTERNAL, "pool: out of memory");
        return NULL;
    }
    pool->sandboxes = sandboxes;
    if (!timer_open(&pool->due, sandboxes->loop, on_due, pool, err) ||
        (pool->store = pool_store_open(sandboxes->loop, &options, err)) == NULL) {
        pool_close(pool);
        return NULL;
    }
    pool->freshness = (struct freshness){.images = sandboxes->images, .store = pool->store};
    timer_arm(&pool->due, 0);
    return pool;
}

bool pool_fail_all(struct pool *pool)
{
    return pool_store_fail_all(pool->store);
}

void pool_close(struct pool *pool)
{
    if (pool != NULL) {
        timer_close(&pool->due);
        pool_store_close(pool->store);
        free(pool);
    }
}
