#include "auth-service/idempotency/seal.h"

#include "common/base/secret.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum {
    NONCE_LEN = 12,
    TAG_LEN = 16,
    DERIVE_MAX = 1024,
};

static void free_context(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
}

static bool derive(struct view secret, struct view purpose, struct view subject, uint8_t *out,
                   struct err *err)
{
    unsigned len = 0;
    AUTO(str_free) struct str text = STR_INIT(DERIVE_MAX);
    str_append_view(&text, purpose);
    str_append_view(&text, subject);
    bool ok = str_check(&text, "idempotency key", err) &&
              ((HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)text.data,
                     text.len, out, &len) != NULL &&
                len == SEAL_DIGEST_LEN) ||
               err_set(err, ERR_INTERNAL, "HMAC failed"));
    if (text.data != NULL) {
        secret_wipe(text.data, text.len);
    }
    return ok;
}

bool seal_key_derive(struct view secret, const char user_id[ID_SIZE], struct view key,
                     struct seal_key *out, struct err *err)
{
    uint8_t digest[SEAL_DIGEST_LEN];
    AUTO(str_free) struct str subject = STR_INIT(DERIVE_MAX / 2);
    str_append_string(&subject, user_id); /* of one length, so that no other pair makes this text */
    str_append_view(&subject, key);
    bool ok = str_check(&subject, "idempotency key", err) &&
              derive(secret, VIEW("idempotency 1 find\n"), str_view(&subject), digest, err) &&
              derive(secret, VIEW("idempotency 1 seal\n"), str_view(&subject), out->bytes, err);
    if (ok) {
        encode_hex(digest, sizeof digest, out->digest_hex);
    }
    if (subject.data != NULL) {
        secret_wipe(subject.data, subject.len);
    }
    return ok;
}

/* out: as long as text, and the tag behind it. */
static bool encrypt(const struct seal_key *key, const uint8_t *nonce, struct view place,
                    struct view text, uint8_t *out)
{
    int len = 0;
    AUTO(free_context) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    return context != NULL &&
           EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
           EVP_EncryptUpdate(context, NULL, &len, (const unsigned char *)place.ptr,
                             (int)place.len) == 1 &&
           EVP_EncryptUpdate(context, out, &len, (const unsigned char *)text.ptr, (int)text.len) ==
               1 &&
           (size_t)len == text.len && EVP_EncryptFinal_ex(context, out + text.len, &len) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + text.len) == 1;
}

/* sealed: nonce, text, tag. out is as long as the text. */
static bool decrypt(const struct seal_key *key, struct view place, const uint8_t *sealed,
                    size_t text_len, uint8_t *out)
{
    int len = 0;
    uint8_t tag[TAG_LEN];
    memcpy(tag, sealed + NONCE_LEN + text_len, sizeof tag);
    AUTO(free_context) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    return context != NULL &&
           EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, sealed) == 1 &&
           EVP_DecryptUpdate(context, NULL, &len, (const unsigned char *)place.ptr,
                             (int)place.len) == 1 &&
           EVP_DecryptUpdate(context, out, &len, sealed + NONCE_LEN, (int)text_len) == 1 &&
           (size_t)len == text_len &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
           EVP_DecryptFinal_ex(context, out + text_len, &len) == 1;
}

bool seal_write(const struct seal_key *key, struct view place, struct view text, struct str *out,
                struct err *err)
{
    size_t len = NONCE_LEN + text.len + TAG_LEN;
    if (text.len > INT_MAX / 4 || place.len > INT_MAX / 4) {
        return err_set(err, ERR_INTERNAL, "too much to seal");
    }
    AUTO(str_free) struct str sealed = STR_INIT(len);
    uint8_t *bytes = (uint8_t *)str_reserve(&sealed, len);
    char *hex = str_reserve(out, 2 * len);
    if (bytes == NULL || hex == NULL) {
        return err_set(err, ERR_INTERNAL, "sealing: out of memory or too much");
    }
    if (!secret_random(bytes, NONCE_LEN, err)) {
        return false;
    }
    if (!encrypt(key, bytes, place, text, bytes + NONCE_LEN)) {
        return err_set(err, ERR_INTERNAL, "AES-GCM failed");
    }
    encode_hex(bytes, len, hex);
    str_advance(out, 2 * len);
    return true;
}

bool seal_open(const struct seal_key *key, struct view place, struct view sealed_hex,
               struct str *out, struct err *err)
{
    size_t len = sealed_hex.len / 2;
    if (len < NONCE_LEN + TAG_LEN || len > INT_MAX / 4) {
        return err_set(err, ERR_INTERNAL, "a sealed text has a wrong length");
    }
    size_t text_len = len - NONCE_LEN - TAG_LEN;
    AUTO(str_free) struct str sealed = STR_INIT(len);
    uint8_t *bytes = (uint8_t *)str_reserve(&sealed, len);
    char *text = str_reserve(out, text_len);
    if (bytes == NULL || text == NULL) {
        return err_set(err, ERR_INTERNAL, "opening: out of memory or too much");
    }
    if (!encode_hex_decode(sealed_hex, bytes, len) ||
        !decrypt(key, place, bytes, text_len, (uint8_t *)text)) {
        return err_set(err, ERR_INTERNAL, "a sealed text does not open");
    }
    str_advance(out, text_len);
    return true;
}
