#include "gateway/native/credentials.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "gateway/http/header.h"
#include "gateway/http/server.h"
#include "gateway/http/syntax.h"

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

static bool is_base64url(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Three parts with dots between them; whether they mean anything the auth-service finds out. The
 * last may be empty: a token without a signature is a token, and refused as one. */
static bool is_token(struct view text)
{
    size_t dots = 0;
    for (size_t i = 0; i < text.len; i++) {
        dots += text.ptr[i] == '.' ? 1 : 0;
        if (text.ptr[i] != '.' && !is_base64url(text.ptr[i])) {
            return false;
        }
    }
    return dots == 2;
}

static bool refuse(const char *reason, const char *sentence, struct err *err)
{
    return err_set_reason(err, ERR_UNAUTHENTICATED, reason, "%s", sentence);
}

static bool read_bearer(struct view text, struct credential *out, struct err *err)
{
    if (!is_token(text)) {
        return api_key_normalise(text, out->key) ||
               refuse("invalid_api_key", "The API key is not valid.", err);
    }
    out->token = text;
    return text.len <= AUTH_TOKEN_MAX ||
           refuse("invalid_session", "Invalid or expired session", err);
}

/* As it is sent: a token has nothing to be escaped. */
static bool token_from_query(struct view query, struct view *token)
{
    while (query.len > 0) {
        struct view pair = view_cut(&query, '&');
        if (view_starts_with(pair, VIEW("token="))) {
            *token = view_from(pair, sizeof "token=" - 1);
            return true;
        }
    }
    return false;
}

static bool token_from_protocols(const struct http_head *head, struct view *token)
{
    for (size_t i = 0; i < head->header_count; i++) {
        struct view list = head->headers[i].value;
        struct view item;
        while (view_equal_nocase(head->headers[i].name, VIEW("Sec-WebSocket-Protocol")) &&
               syntax_next_item(&list, &item)) {
            if (view_starts_with(item, VIEW(CREDENTIALS_PROTOCOL))) {
                *token = view_from(item, sizeof CREDENTIALS_PROTOCOL - 1);
                return true;
            }
        }
    }
    return false;
}

/* What a page of a browser can add to a handshake. Addresses are kept and shown in many places, so
 * a session's token is not taken from there. */
static bool read_page_token(struct view text, struct credential *out, struct err *err)
{
    out->token = text;
    if (!auth_is_client_token(text)) {
        return refuse("invalid_token",
                      "Only a client token goes here: POST /sandbox/{id}/token makes one.", err);
    }
    return (is_token(text) && text.len <= AUTH_TOKEN_MAX) ||
           refuse("invalid_token", "Invalid or expired token", err);
}

bool credentials_read(const struct http_exchange *exchange, bool is_socket, struct credential *out,
                      struct err *err)
{
    *out = (struct credential){.key = ""};
    struct view text = http_exchange_header(exchange, "X-API-Key");
    bool present = text.len > 0;
    bool found = present && api_key_normalise(text, out->key);
    if (!present && after_scheme(exchange, "Bearer", &text)) {
        return read_bearer(text, out, err);
    }
    if (!present && is_socket && after_scheme(exchange, "Basic", &text)) {
        present = true;
        found = key_from_basic(text, out->key);
    }
    if (!present && is_socket) {
        found = key_from_query(exchange, out->key, &present);
    }
    const struct http_head *head = http_exchange_head(exchange);
    if (!present && is_socket &&
        (token_from_query(head->query, &text) || token_from_protocols(head, &text))) {
        return read_page_token(text, out, err);
    }
    if (!present) {
        return err_set(err, ERR_UNAUTHENTICATED,
                       "Send your API key in the X-API-Key header, or a session token as "
                       "Authorization: Bearer <token>.");
    }
    return found || refuse("invalid_api_key", "The API key is not valid.", err);
}
