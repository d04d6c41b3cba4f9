#include "auth-service/jwt/clerk.h"

#include "common/base/encode.h"

#include <stdio.h>

enum { HOST_LABEL_MAX = 63 };

static bool is_host_label(struct view label)
{
    if (label.len == 0 || label.len > HOST_LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
    }
    return true;
}

/* Lower-case labels, at least two, and nothing that a URL could read as a port, path or user. */
static bool is_host_name(struct view host)
{
    size_t labels = 0;
    while (true) {
        const char *dot = host.len == 0 ? NULL : memchr(host.ptr, '.', host.len);
        size_t len = dot == NULL ? host.len : (size_t)(dot - host.ptr);
        if (!is_host_label((struct view){host.ptr, len})) {
            return false;
        }
        labels++;
        if (dot == NULL) {
            return labels >= 2;
        }
        host = view_from(host, len + 1);
    }
}

/* Restores the padding that publishable keys leave out. */
static bool decode_host(struct view text, uint8_t *bytes, size_t *len)
{
    char padded[CONFIG_TEXT_SIZE + 4];
    while (text.len > 0 && text.ptr[text.len - 1] == '=') {
        text.len--;
    }
    if (text.len == 0 || text.len >= CONFIG_TEXT_SIZE) {
        return false;
    }
    memcpy(padded, text.ptr, text.len);
    size_t padded_len = text.len;
    while (padded_len % 4 != 0) {
        padded[padded_len++] = '=';
    }
    return encode_base64_decode(ENCODE_BASE64, (struct view){padded, padded_len}, bytes, len);
}

bool clerk_host_from_publishable_key(struct view key, char host[CLERK_HOST_SIZE], struct err *err)
{
    static const size_t prefix_len = sizeof "pk_test_" - 1;
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(CONFIG_TEXT_SIZE + 4)];
    size_t len = 0;
    if ((view_starts_with(key, VIEW("pk_test_")) || view_starts_with(key, VIEW("pk_live_"))) &&
        decode_host(view_from(key, prefix_len), bytes, &len) && len > 0 && bytes[len - 1] == '$') {
        struct view name = {(const char *)bytes, len - 1};
        if (is_host_name(name) && view_copy(name, host, CLERK_HOST_SIZE)) {
            return true;
        }
    }
    return err_set(err, ERR_INVALID,
                   "CLERK_PUBLISHABLE_KEY is not a publishable key: copy it from the Clerk "
                   "dashboard; it starts with pk_test_ or pk_live_");
}

static bool resolve_source(const struct clerk_settings *settings, const char *host,
                           struct token_issuer *out, struct err *err)
{
    char backend[ISSUER_URL_SIZE];
    size_t api_len = strlen(settings->api_url);
    api_len -= api_len > 0 && settings->api_url[api_len - 1] == '/' ? 1 : 0;
    (void)snprintf(backend, sizeof backend, "%.*s/v1/jwks", (int)api_len, settings->api_url);
    out->has_pem = settings->jwt_key[0] != '\0';
    if (out->has_pem) {
        return true;
    }
    if (settings->jwks_url[0] != '\0') {
        (void)snprintf(out->jwks_url, sizeof out->jwks_url, "%s", settings->jwks_url);
    } else if (settings->secret_key[0] != '\0') {
        (void)snprintf(out->jwks_url, sizeof out->jwks_url, "%s", backend);
    } else {
        (void)snprintf(out->jwks_url, sizeof out->jwks_url, "https://%s/.well-known/jwks.json",
                       host);
    }
    out->jwks_needs_secret = settings->secret_key[0] != '\0' && strcmp(out->jwks_url, backend) == 0;
    return issuer_url_is_allowed(out->jwks_url) ||
           err_set(err, ERR_INVALID,
                   "%s must be an https:// address (http:// is for loopback only)",
                   settings->jwks_url[0] != '\0' ? "CLERK_JWKS_URL" : "CLERK_API_URL");
}

/* A key set at its well-known place belongs to the issuer of that host. */
static bool issuer_from_jwks_url(const char *url, char issuer[CONFIG_TEXT_SIZE])
{
    static const struct view suffix = VIEW("/.well-known/jwks.json");
    struct view view = view_of(url);
    if (!view_starts_with(view, VIEW("https://")) || view.len <= suffix.len ||
        !view_equal(view_from(view, view.len - suffix.len), suffix)) {
        return false;
    }
    view.len -= suffix.len;
    return view_copy(view, issuer, CONFIG_TEXT_SIZE);
}

static bool resolve_issuer(const struct clerk_settings *settings, const char *host,
                           struct token_issuer *out, struct err *err)
{
    if (settings->issuer[0] != '\0') {
        memcpy(out->issuer, settings->issuer, sizeof out->issuer);
        return true;
    }
    if (host[0] != '\0') {
        (void)snprintf(out->issuer, sizeof out->issuer, "https://%s", host);
        return true;
    }
    return issuer_from_jwks_url(out->jwks_url, out->issuer) ||
           err_set(err, ERR_INVALID,
                   "CLERK_ISSUER is not set: set it to the address of your Clerk Frontend API "
                   "(https://clerk.example.com), or set CLERK_PUBLISHABLE_KEY");
}

static bool resolve_parties(const char *list, struct token_policy *policy, struct err *err)
{
    while (*list != '\0') {
        list += strspn(list, ", ");
        struct view party = {list, strcspn(list, ", ")};
        list += party.len;
        if (party.len == 0) {
            continue;
        }
        if (policy->authorized_party_count == TOKEN_PARTIES_MAX) {
            return err_set(err, ERR_INVALID, "CLERK_AUTHORIZED_PARTIES has more than %d origins",
                           TOKEN_PARTIES_MAX);
        }
        policy->authorized_parties[policy->authorized_party_count++] = party;
    }
    return true;
}

bool clerk_resolve(const struct clerk_settings *settings, struct token_issuer *out, struct err *err)
{
    char host[CLERK_HOST_SIZE] = "";
    *out = (struct token_issuer){.policy = {.audience = settings->audience,
                                            .allow_missing_azp = settings->allow_missing_azp,
                                            .ignore_category = settings->ignore_category,
                                            .clock_skew_s = settings->clock_skew_s}};
    out->configured = settings->jwt_key[0] != '\0' || settings->jwks_url[0] != '\0' ||
                      settings->secret_key[0] != '\0' || settings->publishable_key[0] != '\0';
    out->policy.issuer = out->issuer;
    if (!out->configured) {
        return true;
    }
    if (settings->publishable_key[0] != '\0' &&
        !clerk_host_from_publishable_key(view_of(settings->publishable_key), host, err)) {
        return false;
    }
    return resolve_source(settings, host, out, err) && resolve_issuer(settings, host, out, err) &&
           resolve_parties(settings->authorized_parties, &out->policy, err);
}
