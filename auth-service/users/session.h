/* auth-service/users/session.h: from a session token to the user it speaks for. */
#ifndef AUTH_SERVICE_USERS_SESSION_H
#define AUTH_SERVICE_USERS_SESSION_H

#include "auth-service/jwt/clerk.h"
#include "auth-service/jwt/jwks_cache.h"
#include "auth-service/users/store.h"

struct sessions;

/* Borrows everything it is given. Without Clerk settings every check fails with ERR_UNAVAILABLE
 * "clerk_not_configured"; wrong ones are ERR_INVALID. */
struct sessions *sessions_open(struct loop *loop, struct pg_pool *pg, struct http_client *http,
                               const struct clerk_settings *settings, struct err *err) MUST_CHECK;
/* Checks that wait for keys end with ERR_UNAVAILABLE before this returns. */
void sessions_close(struct sessions *sessions);

/* Verifies the token and finds the user, making the row at first sight. Borrows token until done,
 * which comes exactly once, later. False and err, without done, for what is known at once.
 * ERR_UNAUTHENTICATED "invalid_session" or "token_expired"; ERR_UNAVAILABLE; ERR_TIMEOUT. */
bool session_check(struct sessions *sessions, struct view token, const char *request_id,
                   int64_t timeout_ms, user_found_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
