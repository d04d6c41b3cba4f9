#include "auth-service/jwt/oidc.h"

#include <stdio.h>

bool oidc_resolve(const struct oidc_settings *settings, int64_t clock_skew_s,
                  struct token_issuer *out, struct err *err)
{
    bool has_issuer = settings->issuer[0] != '\0';
    bool has_url = settings->jwks_url[0] != '\0';
    bool has_audience = settings->audience[0] != '\0';
    *out = (struct token_issuer){
        .configured = has_issuer,
        .policy = {.audience = settings->audience, .is_oidc = true, .clock_skew_s = clock_skew_s}};
    out->policy.issuer = out->issuer;
    if (has_issuer != has_url || has_issuer != has_audience) {
        return err_set(
            err, ERR_INVALID,
            "AUTH_ISSUER, AUTH_JWKS_URL and AUTH_AUDIENCE go together: set all three, or "
            "none");
    }
    if (has_url && !issuer_url_is_allowed(settings->jwks_url)) {
        return err_set(err, ERR_INVALID,
                       "AUTH_JWKS_URL must be an https:// address (http:// is for loopback only)");
    }
    (void)snprintf(out->issuer, sizeof out->issuer, "%s", settings->issuer);
    (void)snprintf(out->jwks_url, sizeof out->jwks_url, "%s", settings->jwks_url);
    return true;
}
