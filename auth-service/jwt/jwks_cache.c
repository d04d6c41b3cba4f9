#include "auth-service/jwt/jwks_cache.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/secret.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    UNKNOWN_KIDS_MAX = 256,
    HTTP_OK = 200,
    HEADER_SIZE = 1100,
};

const struct jwks_timing jwks_default_timing = {
    .fetch_timeout_ms = 5000,
    .refresh_ms = 240000,
    .stale_ms = 86400000,
    .retry_min_ms = 1000,
    .retry_max_ms = 60000,
    .retry_cold_max_ms = 5000,
    .unknown_gap_ms = 10000,
    .unknown_memory_ms = 60000,
};

/* A kid that a fresh set did not have. */
struct unknown_kid {
    char kid[KEY_ID_SIZE];
    int64_t until_ms; /* monotonic */
};

struct jwks_wait {
    struct list node; /* in cache->waits */
    char kid[KEY_ID_SIZE];
    jwks_ready_fn *done;
    void *arg;
};

struct jwks_cache {
    struct http_client *http; /* borrowed */
    char *url;                /* owned */
    char authorization[HEADER_SIZE];
    bool with_ec;
    struct jwks_timing timing;
    struct timer timer;     /* the next fetch in the background */
    struct http_call *call; /* the fetch under way; NULL: none */
    struct list waits;

    struct key_set *keys;        /* owned; NULL until the first fetch succeeded */
    int64_t fetched_at_ms;       /* monotonic, as all times here */
    int64_t retry_ms;            /* the gap after the last failure; 0: the last fetch succeeded */
    int64_t unknown_fetch_at_ms; /* from then on an unknown kid may cause a fetch */
    struct unknown_kid unknown[UNKNOWN_KIDS_MAX];
    size_t unknown_next; /* the oldest: the next to be overwritten */
};

static bool has_usable_keys(const struct jwks_cache *cache)
{
    return cache->keys != NULL &&
           clock_monotonic_ms() - cache->fetched_at_ms <= cache->timing.stale_ms;
}

static bool is_remembered(const struct jwks_cache *cache, struct view kid)
{
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; i < UNKNOWN_KIDS_MAX; i++) {
        const struct unknown_kid *unknown = &cache->unknown[i];
        if (unknown->until_ms > now && view_equal(kid, view_of(unknown->kid))) {
            return true;
        }
    }
    return false;
}

static void remember_unknown(struct jwks_cache *cache, const char kid[KEY_ID_SIZE])
{
    if (kid[0] == '\0' || key_set_find(cache->keys, view_of(kid)) != NULL ||
        is_remembered(cache, view_of(kid))) {
        return;
    }
    struct unknown_kid *unknown = &cache->unknown[cache->unknown_next];
    cache->unknown_next = (cache->unknown_next + 1) % UNKNOWN_KIDS_MAX;
    memcpy(unknown->kid, kid, sizeof unknown->kid);
    unknown->until_ms = clock_monotonic_ms() + cache->timing.unknown_memory_ms;
}

const struct key_set *jwks_cache_peek(struct jwks_cache *cache, struct view kid)
{
    if (!has_usable_keys(cache)) {
        return NULL;
    }
    if (kid.len == 0 || key_set_find(cache->keys, kid) != NULL || is_remembered(cache, kid)) {
        return cache->keys;
    }
    bool may_tell = cache->call != NULL || cache->retry_ms > 0 ||
                    clock_monotonic_ms() >= cache->unknown_fetch_at_ms;
    return may_tell ? NULL : cache->keys;
}

/* Tells everybody who waited. A callback may begin the next wait. */
static void end_waits(struct jwks_cache *cache, const struct err *err)
{
    struct list ended;
    list_init(&ended);
    list_append_all(&ended, &cache->waits);
    struct list *node;
    while ((node = list_pop(&ended)) != NULL) {
        struct jwks_wait *wait = LIST_ENTRY(node, struct jwks_wait, node);
        if (err == NULL) {
            remember_unknown(cache, wait->kid);
        }
        wait->done(err == NULL ? cache->keys : NULL, err, wait->arg);
        free(wait);
    }
}

static void on_success(struct jwks_cache *cache, struct key_set *keys)
{
    key_set_free(cache->keys);
    cache->keys = keys;
    cache->fetched_at_ms = clock_monotonic_ms();
    cache->retry_ms = 0;
    timer_arm(&cache->timer, cache->timing.refresh_ms);
    log_debug("jwks.fetched", LOG_INT("keys", key_set_count(keys)));
    end_waits(cache, NULL);
}

static void schedule_retry(struct jwks_cache *cache)
{
    int64_t ceiling =
        has_usable_keys(cache) ? cache->timing.retry_max_ms : cache->timing.retry_cold_max_ms;
    cache->retry_ms = cache->retry_ms == 0 ? cache->timing.retry_min_ms : cache->retry_ms * 2;
    cache->retry_ms = cache->retry_ms > ceiling ? ceiling : cache->retry_ms;
    timer_arm(&cache->timer, cache->retry_ms);
}

static void on_failure(struct jwks_cache *cache, const struct err *cause)
{
    schedule_retry(cache);
    log_warn("jwks.fetch_failed", LOG_ERR(cause), LOG_STR("url", cache->url),
             LOG_INT("retry_ms", cache->retry_ms));
    struct err err;
    err_set_reason(&err, ERR_UNAVAILABLE, "clerk_unavailable", "%s", cause->message);
    end_waits(cache, &err);
}

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct jwks_cache *cache = arg;
    struct err cause;
    cache->call = NULL;
    if (err != NULL) {
        on_failure(cache, err);
        return;
    }
    if (reply->status != HTTP_OK) {
        err_set(&cause, ERR_UNAVAILABLE, "key set: status %d", reply->status);
        on_failure(cache, &cause);
        return;
    }
    struct key_set *keys = key_set_from_jwks(reply->body, cache->with_ec, &cause);
    if (keys == NULL) {
        on_failure(cache, &cause);
        return;
    }
    on_success(cache, keys);
}

static bool fetch(struct jwks_cache *cache, struct err *err)
{
    static const char version[] = "Clerk-API-Version: 2025-04-10";
    static const char agent[] = "User-Agent: insien-auth/" INSIEN_VERSION;
    bool has_secret = cache->authorization[0] != '\0';
    const char *headers[] = {"Accept: application/json", agent, has_secret ? version : NULL,
                             cache->authorization, NULL};
    struct http_call_options options = {.method = "GET",
                                        .url = cache->url,
                                        .headers = headers,
                                        .timeout_ms = cache->timing.fetch_timeout_ms,
                                        .response_max = JWKS_BODY_MAX};
    timer_disarm(&cache->timer);
    cache->call = http_call_begin(cache->http, &options, on_reply, cache, err);
    if (cache->call == NULL) {
        schedule_retry(cache);
        return false;
    }
    return true;
}

static void on_timer(void *arg)
{
    struct jwks_cache *cache = arg;
    struct err err;
    if (cache->call == NULL && !fetch(cache, &err)) {
        log_warn("jwks.fetch_failed", LOG_ERR(&err));
    }
}

/* Whether a fetch is under way or could be begun for somebody who waits. */
static bool join_fetch(struct jwks_cache *cache, struct err *err)
{
    if (cache->call != NULL) {
        return true;
    }
    int64_t now = clock_monotonic_ms();
    bool due =
        has_usable_keys(cache) ? now >= cache->unknown_fetch_at_ms : !timer_is_armed(&cache->timer);
    if (!due) {
        return err_set_reason(err, ERR_UNAVAILABLE, "clerk_unavailable",
                              "the key set could not be fetched; the next try is not due");
    }
    cache->unknown_fetch_at_ms = now + cache->timing.unknown_gap_ms;
    struct err cause;
    return fetch(cache, &cause) ||
           err_set_reason(err, ERR_UNAVAILABLE, "clerk_unavailable", "%s", cause.message);
}

struct jwks_wait *jwks_wait_begin(struct jwks_cache *cache, struct view kid, jwks_ready_fn *done,
                                  void *arg, struct err *err)
{
    struct jwks_wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL || !view_copy(kid, wait->kid, sizeof wait->kid)) {
        err_set(err, ERR_INTERNAL, "waiting for a key set: out of memory");
        free(wait);
        return NULL;
    }
    if (!join_fetch(cache, err)) {
        free(wait);
        return NULL;
    }
    wait->done = done;
    wait->arg = arg;
    list_append(&cache->waits, &wait->node);
    return wait;
}

void jwks_wait_cancel(struct jwks_wait *wait)
{
    list_remove(&wait->node);
    free(wait);
}

static bool set_up(struct jwks_cache *cache, struct loop *loop, const struct jwks_options *options,
                   struct err *err)
{
    cache->url = strdup(options->url);
    if (cache->url == NULL) {
        return err_set(err, ERR_INTERNAL, "key set: out of memory");
    }
    if (options->secret_key != NULL &&
        snprintf(cache->authorization, sizeof cache->authorization, "Authorization: Bearer %s",
                 options->secret_key) >= (int)sizeof cache->authorization) {
        return err_set(err, ERR_INVALID, "CLERK_SECRET_KEY is too long");
    }
    return timer_open(&cache->timer, loop, on_timer, cache, err);
}

struct jwks_cache *jwks_cache_open(struct loop *loop, struct http_client *http,
                                   const struct jwks_options *options, struct err *err)
{
    struct jwks_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_set(err, ERR_INTERNAL, "key set: out of memory");
        return NULL;
    }
    cache->http = http;
    cache->with_ec = options->with_ec;
    cache->timing = options->timing;
    list_init(&cache->waits);
    if (!set_up(cache, loop, options, err)) {
        jwks_cache_close(cache);
        return NULL;
    }
    struct err cause;
    if (!fetch(cache, &cause)) {
        log_warn("jwks.fetch_failed", LOG_ERR(&cause));
    }
    return cache;
}

void jwks_cache_close(struct jwks_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    if (cache->call != NULL) {
        http_call_cancel(TAKE(cache->call));
    }
    struct err err;
    err_set_reason(&err, ERR_UNAVAILABLE, "clerk_unavailable", "shutting down");
    end_waits(cache, &err);
    timer_close(&cache->timer);
    key_set_free(cache->keys);
    secret_wipe(cache->authorization, sizeof cache->authorization);
    free(cache->url);
    free(cache);
}
