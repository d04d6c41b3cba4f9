/* auth-service/jwt/verify.h: whether a session token is good, and what it says. */
#ifndef AUTH_SERVICE_JWT_VERIFY_H
#define AUTH_SERVICE_JWT_VERIFY_H

#include "auth-service/jwt/claims.h"
#include "auth-service/jwt/keys.h"

enum { TOKEN_MAX = 8192 }; /* bytes; longer ones are refused unread */

/* Refusals are ERR_UNAUTHENTICATED with a reason for our log, such as "token-expired" or
 * "jwk-kid-mismatch"; no client sees them. */

/* What a token calls its key: the cheap checks, up to the point where the key is needed. kid is ""
 * when it has none. */
bool token_read_kid(struct view token, const struct token_policy *policy, char kid[KEY_ID_SIZE],
                    struct err *err) MUST_CHECK;

/* Whether the token says that it is of this issuer. That is not proven yet: it serves to choose who
 * is to verify it, whose policy then asks for the same issuer. */
bool token_names_issuer(struct view token, const char *issuer) MUST_CHECK;

/* All checks, against these keys and this time (seconds since 1970). Touches nothing else. */
bool token_verify(struct view token, const struct token_policy *policy, const struct key_set *keys,
                  double now_s, struct token_claims *claims, struct err *err) MUST_CHECK;

#endif
