#include "gateway/native/credentials.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "gateway/http/server.h"

enum { BASIC_MAX = 512 };

/* What stands behind "<scheme> " in the Authorization header; false when it is another scheme. */
static bool after_scheme(const struct http_exchange *exchange, const char *scheme,
                         struct view *credentials)
{
    struct view header = http_exchange_header(exchange, "Authorization");
    size_t length = strlen(scheme);
    if (header.len <= length + 1 || header.ptr[length] != ' ' ||
        !view_equal_nocase((struct view){header.ptr, length}, view_of(scheme))) {
        return false;
    }
    *credentials = view_from(header, length + 1);
    return true;
}

/* "user:password" in base64: either may be the key. */
static bool key_from_basic(struct view encoded, char out[API_KEY_SIZE])
{
    uint8_t decoded[ENCODE_BASE64_DECODED_MAX(BASIC_MAX)];
    size_t length = 0;
    if (encoded.len > BASIC_MAX ||
        !encode_base64_decode(ENCODE_BASE64, encoded, decoded, &length)) {
        return false;
    }
    struct view pair = {(const char *)decoded, length};
    const char *colon = memchr(decoded, ':', length);
    bool found = false;
    if (colon != NULL) {
        size_t user_length = (size_t)(colon - pair.ptr);
        found = api_key_normalise((struct view){pair.ptr, user_length}, out) ||
                api_key_normalise(view_from(pair, user_length + 1), out);
    }
    secret_wipe(decoded, sizeof decoded);
    return found;
}

static bool key_from_query(const struct http_exchange *exchange, char out[API_KEY_SIZE],
                           bool *present)
{
    char value[API_KEY_SIZE + 16];
    struct view query = http_exchange_head(exchange)->query;
    *present = http_query_has(query, "apiKey");
    bool found = http_query_find(query, "apiKey", value, sizeof value) &&
                 api_key_normalise(view_of(value), out);
    secret_wipe(value, sizeof value);
    return found;
}

bool credentials_api_key(const struct http_exchange *exchange, bool is_socket,
                         char out[API_KEY_SIZE], struct err *err)
{
    struct view text = http_exchange_header(exchange, "X-API-Key");
    bool present = text.len > 0;
    bool found = present && api_key_normalise(text, out);
    if (!present && after_scheme(exchange, "Bearer", &text)) {
        present = true;
        found = api_key_normalise(text, out);
    }
    if (!present && is_socket && after_scheme(exchange, "Basic", &text)) {
        present = true;
        found = key_from_basic(text, out);
    }
    if (!present && is_socket) {
        found = key_from_query(exchange, out, &present);
    }
    if (!present) {
        return err_set(err, ERR_UNAUTHENTICATED, "Send your API key in the X-API-Key header.");
    }
    return found ||
           err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_api_key", "The API key is not valid.");
}

char *credentials_session_token(const struct http_exchange *exchange, struct err *err)
{
    struct view text;
    if (!after_scheme(exchange, "Bearer", &text)) {
        err_set(err, ERR_UNAUTHENTICATED,
                "Send your session token as Authorization: Bearer <token>.");
        return NULL;
    }
    if (text.len > AUTH_TOKEN_MAX) {
        err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_session", "Invalid or expired session");
        return NULL;
    }
    char *token = strndup(text.ptr, text.len);
    if (token == NULL) {
        err_set(err, ERR_INTERNAL, "token: out of memory");
    }
    return token;
}
