/* auth-service/users/known_sessions.h: sessions that were accepted here while nothing was amiss.
 * They go on when Redis is away and nobody can tell how often somebody tries, or what was revoked;
 * others wait until it is back. */
#ifndef AUTH_SERVICE_USERS_KNOWN_SESSIONS_H
#define AUTH_SERVICE_USERS_KNOWN_SESSIONS_H

#include "auth-service/jwt/claims.h"

enum { KNOWN_SESSIONS_MAX = 8192 }; /* those not seen for longest are forgotten */

struct known_sessions;

struct known_sessions *known_sessions_new(struct err *err) MUST_CHECK;
/* NULL is fine. */
void known_sessions_free(struct known_sessions *known);

/* By the session's name, or where the issuer names none the subject's, of this issuer. Without
 * memory it is not noted. */
void known_sessions_note(struct known_sessions *known, const char *issuer,
                         const struct token_claims *claims);
bool known_sessions_has(const struct known_sessions *known, const char *issuer,
                        const struct token_claims *claims) MUST_CHECK;
size_t known_sessions_count(const struct known_sessions *known);

#endif
