#include "auth-service/tokens/client_token.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "common/json/write.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <stdio.h>

enum {
    MAC_LEN = 32,
    SIGNATURE_LEN = 43, /* base64url of a MAC */
    SCOPES_MAX = 8,
    SCOPE_NAME_MAX = 32,
};

/* A purpose of its own: the same secret may serve others. */
static const char purpose[] = "insien client token 1";

static void free_context(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

static bool derive(struct view secret, uint8_t out[CLIENT_TOKEN_KEY_LEN], struct err *err)
{
    size_t len = CLIENT_TOKEN_KEY_LEN;
    AUTO(free_context) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    return (context != NULL && EVP_PKEY_derive_init(context) == 1 &&
            EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1 &&
            EVP_PKEY_CTX_set1_hkdf_key(context, (const unsigned char *)secret.ptr,
                                       (int)secret.len) == 1 &&
            EVP_PKEY_CTX_add1_hkdf_info(context, (const unsigned char *)purpose,
                                        sizeof purpose - 1) == 1 &&
            EVP_PKEY_derive(context, out, &len) == 1 && len == CLIENT_TOKEN_KEY_LEN) ||
           err_set(err, ERR_INTERNAL, "HKDF failed");
}

bool client_token_key_derive(struct view secret, const char *instance, struct client_token_key *out,
                             struct err *err)
{
    int length = snprintf(out->audience, sizeof out->audience, "insien:%s:client", instance);
    if (length < 0 || (size_t)length >= sizeof out->audience) {
        return err_set(err, ERR_INVALID, "the instance's name is too long");
    }
    return derive(secret, out->bytes, err);
}

static bool sign(const struct client_token_key *key, struct view text, uint8_t out[MAC_LEN])
{
    unsigned len = 0;
    return HMAC(EVP_sha256(), key->bytes, sizeof key->bytes, (const unsigned char *)text.ptr,
                text.len, out, &len) != NULL &&
           len == MAC_LEN;
}

static void write_payload(const struct client_token_key *key, const struct client_token *token,
                          struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "aud", view_of(key->audience));
    json_string(&writer, "jti", view_of(token->id));
    json_string(&writer, "sub", view_of(token->user_id));
    json_string(&writer, "sandboxId", view_of(token->sandbox_id));
    if (token->api_key_id[0] != '\0') {
        json_string(&writer, "apiKeyId", view_of(token->api_key_id));
    }
    if (token->session_id[0] != '\0') {
        json_string(&writer, "sid", view_of(token->session_id));
    }
    if (token->watch_session) {
        json_bool(&writer, "watched", true);
    }
    if (token->impersonator[0] != '\0') {
        json_begin_object(&writer, "act");
        json_string(&writer, "sub", view_of(token->impersonator));
        json_end_object(&writer);
    }
    auth_scopes_write(&writer, "scopes", token->scopes);
    json_int(&writer, "iat", token->issued_at_s);
    json_int(&writer, "exp", token->expires_at_s);
    json_end_object(&writer);
}

static void append_base64url(struct str *out, const void *bytes, size_t len)
{
    char *room = str_reserve(out, ENCODE_BASE64_SIZE(len));
    if (room != NULL) {
        str_advance(out, encode_base64(ENCODE_BASE64_URL, bytes, len, room));
    }
}

bool client_token_write(const struct client_token_key *key, const struct client_token *token,
                        struct str *out, struct err *err)
{
    uint8_t mac[MAC_LEN];
    AUTO(str_free) struct str payload = STR_INIT(AUTH_TOKEN_MAX);
    AUTO(str_free) struct str text = STR_INIT(AUTH_TOKEN_MAX);
    write_payload(key, token, &payload);
    if (!str_check(&payload, "client token", err)) {
        return false;
    }
    str_append_string(&text, CLIENT_TOKEN_HEADER ".");
    append_base64url(&text, payload.data, payload.len);
    if (!str_check(&text, "client token", err)) {
        return false;
    }
    if (!sign(key, str_view(&text), mac)) {
        return err_set(err, ERR_INTERNAL, "HMAC failed");
    }
    str_append_view(out, str_view(&text));
    str_append_char(out, '.');
    append_base64url(out, mac, sizeof mac);
    return str_check(out, "client token", err);
}

static bool refuse(struct err *err)
{
    return err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_token", "Invalid or expired token");
}

struct token_actor {
    struct view subject;
};
static const struct json_field token_actor_fields[] = {
    JSON_STRING(struct token_actor, subject, "sub", .required = true,
                .max_len = AUTH_SESSION_ID_MAX),
};

struct payload {
    struct view audience;
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    char sandbox_id[ID_SIZE];
    char api_key_id[ID_SIZE];
    struct view session_id;
    bool is_watched;
    struct token_actor actor;
    struct json_strings scopes;
    int64_t issued_at_s;
    int64_t expires_at_s;
};
static const struct json_field payload_fields[] = {
    JSON_STRING(struct payload, audience, "aud", .required = true),
    JSON_ID(struct payload, id, "jti", .required = true),
    JSON_ID(struct payload, user_id, "sub", .required = true),
    JSON_ID(struct payload, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct payload, api_key_id, "apiKeyId"),
    JSON_STRING(struct payload, session_id, "sid", .max_len = AUTH_SESSION_ID_MAX),
    JSON_BOOL(struct payload, is_watched, "watched"),
    JSON_STRUCT(struct payload, actor, "act", token_actor_fields),
    JSON_STRINGS(struct payload, scopes, "scopes", .required = true, .max_len = SCOPES_MAX,
                 .item_max = SCOPE_NAME_MAX, .check = auth_scope_check),
    JSON_INT(struct payload, issued_at_s, "iat", .required = true),
    JSON_INT(struct payload, expires_at_s, "exp", .required = true),
};

static bool copy_payload(const struct payload *payload, struct client_token *out)
{
    memcpy(out->id, payload->id, ID_SIZE);
    memcpy(out->user_id, payload->user_id, ID_SIZE);
    memcpy(out->sandbox_id, payload->sandbox_id, ID_SIZE);
    memcpy(out->api_key_id, payload->api_key_id, ID_SIZE);
    out->watch_session = payload->is_watched;
    out->issued_at_s = payload->issued_at_s;
    out->expires_at_s = payload->expires_at_s;
    for (size_t i = 0; i < payload->scopes.count; i++) {
        out->scopes |= auth_scope_find(payload->scopes.items[i]);
    }
    out->scopes &= AUTH_SCOPES_CLIENT;
    return view_copy(payload->session_id, out->session_id, sizeof out->session_id) &&
           view_copy(payload->actor.subject, out->impersonator, sizeof out->impersonator);
}

static bool read_payload(const struct client_token_key *key, struct view encoded,
                         struct client_token *out, struct err *err)
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(AUTH_TOKEN_MAX)];
    size_t len = 0;
    struct payload payload;
    struct err unused;
    if (!encode_base64_decode(ENCODE_BASE64_URL, encoded, bytes, &len)) {
        return refuse(err);
    }
    const struct json_schema schema = JSON_SCHEMA(payload_fields, .refuse_unknown = true);
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read((struct view){(const char *)bytes, len}, &schema, &payload, NULL, &unused);
    return (doc != NULL && view_equal(payload.audience, view_of(key->audience)) &&
            copy_payload(&payload, out)) ||
           refuse(err);
}

/* The header is one text, which names the algorithm and the type, and is compared as it is. */
bool client_token_read(const struct client_token_key *key, struct view text, int64_t now_s,
                       struct client_token *out, struct err *err)
{
    static const size_t header_len = sizeof CLIENT_TOKEN_HEADER; /* with its dot */
    uint8_t mac[MAC_LEN];
    char signature[ENCODE_BASE64_SIZE(MAC_LEN)];
    *out = (struct client_token){.scopes = 0};
    if (!auth_is_client_token(text) || text.len > AUTH_TOKEN_MAX ||
        text.len <= header_len + SIGNATURE_LEN + 1 ||
        text.ptr[text.len - SIGNATURE_LEN - 1] != '.') {
        return refuse(err);
    }
    const struct view signed_text = {text.ptr, text.len - SIGNATURE_LEN - 1};
    if (!sign(key, signed_text, mac)) {
        return err_set(err, ERR_INTERNAL, "HMAC failed");
    }
    (void)encode_base64(ENCODE_BASE64_URL, mac, sizeof mac, signature);
    if (!secret_equal(signature, text.ptr + signed_text.len + 1, SIGNATURE_LEN)) {
        return refuse(err);
    }
    return read_payload(key, view_from(signed_text, header_len), out, err) &&
           (now_s < out->expires_at_s ||
            err_set_reason(err, ERR_UNAUTHENTICATED, "token_expired", "The token has expired"));
}
