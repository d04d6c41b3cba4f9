/* auth-service/jwt/issuer.h: somebody whose tokens we believe, and where their keys are. */
#ifndef AUTH_SERVICE_JWT_ISSUER_H
#define AUTH_SERVICE_JWT_ISSUER_H

#include "auth-service/jwt/claims.h"
#include "common/base/config.h"

enum { ISSUER_URL_SIZE = CONFIG_TEXT_SIZE + 32 };

/* The keys come from the PEM in the settings, else from jwks_url, else from nowhere. */
struct token_issuer {
    bool configured;
    bool has_pem;
    char jwks_url[ISSUER_URL_SIZE];
    bool jwks_needs_secret; /* the request carries the secret key */
    char issuer[CONFIG_TEXT_SIZE];
    struct token_policy policy; /* points into this struct and into the settings */
};

/* Whether keys may be fetched from there: https, or http from a loopback address. */
bool issuer_url_is_allowed(const char *url) MUST_CHECK;

#endif
