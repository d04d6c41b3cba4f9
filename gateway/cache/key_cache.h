/* gateway/cache/key_cache.h: who an API key belongs to: asked of the auth-service once, then known
 * for a minute.
 *
 * Entries are found by an HMAC of the key under a secret of this process, so that no key lies in
 * memory. While the invalidation channel is away nothing is remembered: every request asks. */
#ifndef GATEWAY_CACHE_KEY_CACHE_H
#define GATEWAY_CACHE_KEY_CACHE_H

#include "common/contracts/auth.h"

#include <stdint.h>

struct ipc_client;
struct key_cache;
struct key_check;

enum {
    KEY_CACHE_TTL_MS = 60 * 1000,
    KEY_CACHE_ENTRIES_MAX = 65536,
};

/* An authenticated caller. */
struct caller {
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE];
    char tier[TIER_SIZE];
    int64_t key_expires_ms; /* wall clock; 0: never */
};

/* Whether the caller's key has expired: what it opened before ends too. */
bool caller_has_expired(const struct caller *caller, int64_t now_ms) MUST_CHECK;

struct key_cache *key_cache_new(struct ipc_client *auth_service, struct err *err) MUST_CHECK;
/* Every key_check must be over. */
void key_cache_free(struct key_cache *cache);

/* What is known now: true and *out, or false: ask with key_check_begin. */
bool key_cache_find(struct key_cache *cache, const char key[API_KEY_SIZE],
                    struct caller *out) MUST_CHECK;

/* caller is NULL when err is not: ERR_UNAUTHENTICATED "invalid_api_key", ERR_UNAVAILABLE, ... */
typedef void key_check_fn(const struct caller *caller, const struct err *err, void *arg);
/* done comes once, later, on the loop. NULL when it can't begin. */
struct key_check *key_check_begin(struct key_cache *cache, const char key[API_KEY_SIZE],
                                  const char *request_id, key_check_fn *done, void *arg,
                                  struct err *err) MUST_CHECK;
void key_check_cancel(struct key_check *check);

/* Moves with each of the channel's news below: who was found, or asked for, at another generation
 * may have had its key revoked since. */
uint64_t key_cache_generation(const struct key_cache *cache);

/* The channel's news. */
void key_cache_forget_key(struct key_cache *cache, const char api_key_id[ID_SIZE]);
void key_cache_forget_user(struct key_cache *cache, const char user_id[ID_SIZE]);
void key_cache_set_trusted(struct key_cache *cache, bool trusted);

#endif
