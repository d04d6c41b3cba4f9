/* auth-service/jwt/clerk.h: from the settings to whom we believe and where the keys come from. */
#ifndef AUTH_SERVICE_JWT_CLERK_H
#define AUTH_SERVICE_JWT_CLERK_H

#include "auth-service/jwt/issuer.h"

enum { CLERK_HOST_SIZE = 254 };

/* The CLERK_... variables as they were set; "" for those that were not. */
struct clerk_settings {
    char publishable_key[CONFIG_TEXT_SIZE];
    char secret_key[CONFIG_TEXT_SIZE];
    char jwks_url[CONFIG_TEXT_SIZE];
    char jwt_key[CONFIG_PEM_SIZE];
    char issuer[CONFIG_TEXT_SIZE];
    char authorized_parties[CONFIG_TEXT_SIZE]; /* origins, with commas between */
    bool allow_missing_azp;
    bool ignore_category;
    int64_t clock_skew_s;
    char api_url[CONFIG_TEXT_SIZE];
    char audience[CONFIG_TEXT_SIZE];
};

/* Borrows settings as long as out is used. Without any key source out is "not configured" and that
 * is no error; half a configuration is ERR_INVALID with a sentence that says what to set. */
bool clerk_resolve(const struct clerk_settings *settings, struct token_issuer *out,
                   struct err *err) MUST_CHECK;

/* The Frontend API host that a publishable key holds. */
bool clerk_host_from_publishable_key(struct view key, char host[CLERK_HOST_SIZE],
                                     struct err *err) MUST_CHECK;

#endif
