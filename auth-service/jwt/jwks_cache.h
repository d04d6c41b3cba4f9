/* auth-service/jwt/jwks_cache.h: the issuer's key set, fetched, kept fresh and shared. */
#ifndef AUTH_SERVICE_JWT_JWKS_CACHE_H
#define AUTH_SERVICE_JWT_JWKS_CACHE_H

#include "auth-service/jwt/keys.h"
#include "common/event/loop.h"
#include "common/http/client.h"

struct jwks_cache;
struct jwks_wait; /* one caller that waits for a fetch */

enum { JWKS_BODY_MAX = 64 * 1024 };

struct jwks_timing {
    int64_t fetch_timeout_ms;
    int64_t refresh_ms;        /* after a fetch, the next one in the background */
    int64_t stale_ms;          /* how long a set serves when no fetch succeeds */
    int64_t retry_min_ms;      /* after a failed fetch; doubles with each further one */
    int64_t retry_max_ms;      /* while an old set serves */
    int64_t retry_cold_max_ms; /* while there is none */
    int64_t unknown_gap_ms;    /* between two fetches because of a kid that the set lacks */
    int64_t unknown_memory_ms; /* how long such a kid is known to be nobody's */
};
extern const struct jwks_timing jwks_default_timing;

/* Strings are copied. */
struct jwks_options {
    const char *url;
    const char *secret_key; /* NULL: the request carries none */
    bool with_ec;           /* as key_set_from_jwks */
    struct jwks_timing timing;
};

/* Begins the first fetch. Borrows http. */
struct jwks_cache *jwks_cache_open(struct loop *loop, struct http_client *http,
                                   const struct jwks_options *options, struct err *err) MUST_CHECK;
/* Waits end with ERR_UNAVAILABLE before this returns. */
void jwks_cache_close(struct jwks_cache *cache);

/* The set to judge a token of this kid by ("" is no kid): it has the key, or is known to be right
 * in lacking it. NULL when a fetch must tell. Borrowed until the caller returns to the loop. */
const struct key_set *jwks_cache_peek(struct jwks_cache *cache, struct view kid);

/* keys is NULL when err is not; borrowed during the call. */
typedef void jwks_ready_fn(const struct key_set *keys, const struct err *err, void *arg);

/* After jwks_cache_peek gave NULL: waits for the fetch that is under way or begins one. done comes
 * exactly once, later, on the loop. NULL and ERR_UNAVAILABLE "clerk_unavailable" when there is
 * nothing to wait for: the last fetch failed and the next is not due. */
struct jwks_wait *jwks_wait_begin(struct jwks_cache *cache, struct view kid, jwks_ready_fn *done,
                                  void *arg, struct err *err) MUST_CHECK;
/* done is not called any more. */
void jwks_wait_cancel(struct jwks_wait *wait);

#endif
