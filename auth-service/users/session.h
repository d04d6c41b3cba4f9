/* auth-service/users/session.h: from a session token to the user it speaks for. */
#ifndef AUTH_SERVICE_USERS_SESSION_H
#define AUTH_SERVICE_USERS_SESSION_H

#include "auth-service/jwt/clerk.h"
#include "auth-service/jwt/jwks_cache.h"
#include "auth-service/jwt/oidc.h"
#include "auth-service/users/store.h"
#include "common/base/trace.h"

struct profiles;
struct redis;
struct sessions;

/* Strings are borrowed. */
struct session {
    const struct user *user;
    const char *session_id;   /* "": not said */
    const char *impersonator; /* "": nobody */
    int64_t expires_at_ms;    /* of the token, or when to ask again; wall clock */
    int64_t token_expires_at_ms;
    bool was_known; /* this process accepted it before */
    bool is_of_clerk;
};

/* session is NULL when err is not; valid during the call. */
typedef void session_checked_fn(const struct session *session, const struct err *err, void *arg);

/* All borrowed for the life of the sessions. */
struct sessions_options {
    struct loop *loop;
    struct pg_pool *pg;
    struct redis *redis;
    struct http_client *http;
    const char *instance;
    const struct clerk_settings *clerk;
    const struct oidc_settings *oidc;
    struct profiles *profiles; /* NULL: users of Clerk get none but by webhooks */
};

/* Without settings for an issuer every check fails with ERR_UNAVAILABLE
 * "clerk_not_configured"; wrong ones are ERR_INVALID. */
struct sessions *sessions_open(const struct sessions_options *options, struct err *err) MUST_CHECK;
/* Checks that wait for keys end with ERR_UNAVAILABLE before this returns; others end by the closing
 * of redis and pg. No check may be begun behind it. */
void sessions_stop(struct sessions *sessions);
/* After redis and pg were closed, or when nothing is under way. Accepts NULL. */
void sessions_close(struct sessions *sessions);

/* Clerk, as tokens name it; "" when it is not configured. Borrowed. */
const char *sessions_clerk_issuer(const struct sessions *sessions);

/* Verifies the token, asks whether its session was revoked and finds the user, making the row at
 * first sight. While Redis is away only PostgreSQL says so: sessions that were accepted before go
 * on (their tokens live for a minute) and are to be asked for again in a second, others are
 * ERR_UNAVAILABLE "rate_limit_unavailable". Borrows token until done, which comes exactly once,
 * later. False and err, without done, for what is known at once. ERR_UNAUTHENTICATED
 * "invalid_session" or "token_expired"; ERR_DENIED "account_suspended"; ERR_UNAVAILABLE;
 * ERR_TIMEOUT. */
bool session_check(struct sessions *sessions, struct view token, const struct trace *trace,
                   int64_t timeout_ms, session_checked_fn *done, void *arg,
                   struct err *err) MUST_CHECK;

#endif
