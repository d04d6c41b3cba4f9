/* gateway/cache/key_cache.h: who a credential (an API key, a person's session token, or a client
 * token) speaks for: asked of the auth-service once, then known for a minute, or until it expires.
 *
 * Entries are found by an HMAC of its text under a secret of this process, so that none lies in
 * memory. While the invalidation channel is away nothing is remembered: every request asks. */
#ifndef GATEWAY_CACHE_KEY_CACHE_H
#define GATEWAY_CACHE_KEY_CACHE_H

#include "common/contracts/auth.h"

#include <stdint.h>

struct actor;
struct ipc_client;
struct key_cache;
struct key_check;
struct trace;

enum {
    KEY_CACHE_TTL_MS = 60 * 1000,
    KEY_CACHE_ENTRIES_MAX = 65536,
    KEY_CACHE_SESSIONS_MAX = 16384,
    KEY_CACHE_TOKENS_MAX = 16384,
};

/* What a request brought to prove who it is. */
struct credential {
    char key[API_KEY_SIZE];    /* canonical; "": a token, of a session or a client */
    struct view token;         /* borrowed; of the shape of a JWT, at most AUTH_TOKEN_MAX */
    const struct actor *actor; /* borrowed; from where it came, for the audit trail; may be NULL */
};

/* An authenticated caller: a key, or a session of a person; or a client token of either. */
struct caller {
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE];                   /* "": a session */
    char sandbox_id[ID_SIZE];                   /* of a client token: its one; "": no token */
    char session_id[AUTH_SESSION_ID_MAX + 1];   /* of the issuer; "": a key, or not said */
    char impersonator[AUTH_SESSION_ID_MAX + 1]; /* who acts in the user's name; "": nobody */
    char tier[TIER_SIZE];
    /* Of the key or the client token; wall clock; 0: never, as a session: only its tokens do. */
    int64_t expires_ms;
    /* Of a session whose end nobody tells: sockets are to come back by then; wall clock; 0: not. */
    int64_t returns_ms;
    unsigned scopes;       /* of enum auth_scope */
    int64_t max_sandboxes; /* of the key; 0: no limit; so the next */
    int64_t requests_per_minute;
    struct auth_key_limits key_limits; /* where a request of the key counts; none: of the user's */
    bool is_admin;                     /* the user has the role */
    bool session_is_watched;           /* see session_report.h */
};

/* Whether the caller's key or client token has expired: what it opened before ends too. */
bool caller_has_expired(const struct caller *caller, int64_t now_ms) MUST_CHECK;
/* Whether it is a client token. */
bool caller_is_client(const struct caller *caller) MUST_CHECK;
/* Whether id is that of the caller's key, session or user. */
bool caller_is_of(const struct caller *caller, const char *id) MUST_CHECK;

struct key_cache *key_cache_new(struct ipc_client *auth_service, struct err *err) MUST_CHECK;
/* Every key_check must be over. */
void key_cache_free(struct key_cache *cache);

/* What is known now: true and *out, or false: ask with key_check_begin. */
bool key_cache_find(struct key_cache *cache, const struct credential *credential,
                    struct caller *out) MUST_CHECK;

/* caller is NULL when err is not: ERR_UNAUTHENTICATED "invalid_api_key", "invalid_session",
 * "invalid_token" or "token_expired", ERR_DENIED "account_suspended", ERR_UNAVAILABLE, ... */
typedef void key_check_fn(const struct caller *caller, const struct err *err, void *arg);
/* Copies credential. done comes once, later, on the loop. NULL when it can't begin. */
struct key_check *key_check_begin(struct key_cache *cache, const struct credential *credential,
                                  const struct trace *trace, key_check_fn *done, void *arg,
                                  struct err *err) MUST_CHECK;
void key_check_cancel(struct key_check *check);

/* Moves with each of the channel's news below: who was found, or asked for, at another generation
 * may have had its key revoked since. */
uint64_t key_cache_generation(const struct key_cache *cache);

/* The channel's news. */
void key_cache_forget_key(struct key_cache *cache, const char api_key_id[ID_SIZE]);
void key_cache_forget_user(struct key_cache *cache, const char user_id[ID_SIZE]);
void key_cache_forget_session(struct key_cache *cache, const char *session_id);
void key_cache_set_trusted(struct key_cache *cache, bool trusted);

#endif
