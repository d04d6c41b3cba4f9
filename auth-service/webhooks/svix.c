#include "auth-service/webhooks/svix.h"

#include "common/base/encode.h"
#include "common/base/secret.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

enum {
    DIGEST_LEN = 32,
    TIMESTAMP_DIGITS_MAX = 12,
    SECRET_TEXT_MAX = 256, /* characters of base64 in a secret */
};

static bool read_secret(struct view text, struct svix_key *key)
{
    static const struct view prefix = VIEW("whsec_");
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(SECRET_TEXT_MAX)];
    if (!view_starts_with(text, prefix) || text.len - prefix.len > SECRET_TEXT_MAX) {
        return false;
    }
    bool sound =
        encode_base64_decode(ENCODE_BASE64, view_from(text, prefix.len), bytes, &key->len) &&
        key->len >= SVIX_KEY_MIN && key->len <= sizeof key->bytes;
    if (sound) {
        memcpy(key->bytes, bytes, key->len);
    }
    secret_wipe(bytes, sizeof bytes);
    return sound;
}

bool svix_secrets_read(const char *text, struct svix_secrets *out, struct err *err)
{
    struct view rest = view_of(text);
    *out = (struct svix_secrets){0};
    while (rest.len > 0) {
        if (out->count == SVIX_SECRETS_MAX ||
            !read_secret(view_cut(&rest, ','), &out->keys[out->count])) {
            secret_wipe(out, sizeof *out);
            return err_set(err, ERR_INVALID,
                           "must be a signing secret as the dashboard shows it (whsec_...), or two "
                           "with a comma between");
        }
        out->count++;
    }
    return true;
}

static bool refuse(struct err *err, const char *why)
{
    return err_set_reason(err, ERR_INVALID, "webhook_refused", "webhook refused: %s", why);
}

static bool check_time(struct view text, int64_t now_s, struct err *err)
{
    int64_t at_s = 0;
    if (text.len == 0 || text.len > TIMESTAMP_DIGITS_MAX) {
        return refuse(err, "its time is missing or no number");
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return refuse(err, "its time is missing or no number");
        }
        at_s = at_s * 10 + (text.ptr[i] - '0');
    }
    return (at_s >= now_s - SVIX_TOLERANCE_S && at_s <= now_s + SVIX_TOLERANCE_S) ||
           refuse(err, "its time is too far from ours");
}

static void free_mac(EVP_MAC **mac)
{
    EVP_MAC_free(*mac);
}

static void free_context(EVP_MAC_CTX **context)
{
    EVP_MAC_CTX_free(*context);
}

static bool add(EVP_MAC_CTX *context, struct view bytes)
{
    return bytes.len == 0 ||
           EVP_MAC_update(context, (const unsigned char *)bytes.ptr, bytes.len) == 1;
}

/* Of "id.timestamp.body". */
static bool sign(const struct svix_key *key, const struct svix_message *message,
                 uint8_t digest[DIGEST_LEN])
{
    char hash[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, sizeof hash - 1),
        OSSL_PARAM_construct_end()};
    size_t len = 0;
    AUTO(free_mac) EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    AUTO(free_context) EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    return context != NULL && EVP_MAC_init(context, key->bytes, key->len, params) == 1 &&
           add(context, message->id) && add(context, VIEW(".")) &&
           add(context, message->timestamp) && add(context, VIEW(".")) &&
           add(context, message->body) && EVP_MAC_final(context, digest, &len, DIGEST_LEN) == 1 &&
           len == DIGEST_LEN;
}

/* "v1,<base64>": what is of another version, or none of this form, counts for nothing. */
static bool read_signature(struct view text, uint8_t digest[DIGEST_LEN])
{
    enum { TEXT_LEN = ENCODE_BASE64_SIZE(DIGEST_LEN) - 1 };
    static const struct view version = VIEW("v1,");
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(TEXT_LEN)];
    size_t len = 0;
    if (!view_starts_with(text, version) || text.len != version.len + TEXT_LEN ||
        !encode_base64_decode(ENCODE_BASE64, view_from(text, version.len), bytes, &len) ||
        len != DIGEST_LEN) {
        return false;
    }
    memcpy(digest, bytes, DIGEST_LEN);
    return true;
}

static bool is_one_of(struct view signatures, const uint8_t expected[DIGEST_LEN])
{
    for (int i = 0; i < SVIX_SIGNATURES_MAX && signatures.len > 0; i++) {
        uint8_t given[DIGEST_LEN];
        if (read_signature(view_cut(&signatures, ' '), given) &&
            secret_equal(given, expected, DIGEST_LEN)) {
            return true;
        }
    }
    return false;
}

bool svix_verify(const struct svix_secrets *secrets, const struct svix_message *message,
                 int64_t now_s, struct err *err)
{
    if (message->id.len == 0 || message->id.len > SVIX_ID_MAX || message->signature.len == 0) {
        return refuse(err, "its id or its signature is missing");
    }
    if (!check_time(message->timestamp, now_s, err)) {
        return false;
    }
    bool holds = false;
    for (size_t i = 0; i < secrets->count && !holds; i++) {
        uint8_t expected[DIGEST_LEN];
        holds =
            sign(&secrets->keys[i], message, expected) && is_one_of(message->signature, expected);
        secret_wipe(expected, sizeof expected);
    }
    return holds || refuse(err, "no signature is one of ours");
}
