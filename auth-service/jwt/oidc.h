/* auth-service/jwt/oidc.h: an OpenID Connect issuer of the operator's choice, beside Clerk or
 * instead of it. */
#ifndef AUTH_SERVICE_JWT_OIDC_H
#define AUTH_SERVICE_JWT_OIDC_H

#include "auth-service/jwt/issuer.h"

/* The AUTH_... variables as they were set; "" for those that were not. */
struct oidc_settings {
    char issuer[CONFIG_TEXT_SIZE];
    char jwks_url[CONFIG_TEXT_SIZE];
    char audience[CONFIG_TEXT_SIZE];
};

/* Borrows settings as long as out is used. All three or none: without any, out is "not configured"
 * and that is no error; ERR_INVALID with a sentence that says what to set otherwise. */
bool oidc_resolve(const struct oidc_settings *settings, int64_t clock_skew_s,
                  struct token_issuer *out, struct err *err) MUST_CHECK;

#endif
