#include "sandbox-service/secrets/keyring.h"

#include "common/base/encode.h"
#include "common/base/secret.h"

#include <openssl/evp.h>

enum {
    NONCE_BYTES = 12,
    TAG_BYTES = 16,
    KEY_ID_BYTES = 8,
    KEY_TEXT_MAX = 64, /* in hex; base64 is shorter */
};

/* Bound into each value, so that what is sealed here opens nowhere else. */
static const char purpose[] = "insien secret 1\n";
static const char key_id_purpose[] = "insien secrets key\n";

static bool read_key_text(struct view text, uint8_t out[KEYRING_KEY_BYTES])
{
    uint8_t decoded[ENCODE_BASE64_DECODED_MAX(KEY_TEXT_MAX)];
    size_t len = 0;
    if (encode_hex_decode(text, out, KEYRING_KEY_BYTES)) {
        return true;
    }
    bool ok = text.len <= KEY_TEXT_MAX &&
              encode_base64_decode(ENCODE_BASE64, text, decoded, &len) && len == KEYRING_KEY_BYTES;
    if (ok) {
        memcpy(out, decoded, KEYRING_KEY_BYTES);
    }
    secret_wipe(decoded, sizeof decoded);
    return ok;
}

static bool write_key_id(struct keyring_key *key, struct err *err)
{
    uint8_t text[sizeof key_id_purpose - 1 + KEYRING_KEY_BYTES];
    unsigned char digest[EVP_MAX_MD_SIZE];
    memcpy(text, key_id_purpose, sizeof key_id_purpose - 1);
    memcpy(text + sizeof key_id_purpose - 1, key->bytes, KEYRING_KEY_BYTES);
    bool ok = EVP_Digest(text, sizeof text, digest, NULL, EVP_sha256(), NULL) == 1;
    secret_wipe(text, sizeof text);
    encode_hex(digest, KEY_ID_BYTES, key->id);
    return ok || err_set(err, ERR_INTERNAL, "SHA-256 failed");
}

static const struct keyring_key *find(const struct keyring *keyring, const char *key_id)
{
    for (size_t i = 0; i < keyring->count; i++) {
        if (strcmp(keyring->keys[i].id, key_id) == 0) {
            return &keyring->keys[i];
        }
    }
    return NULL;
}

/* One that is there already changes nothing. */
static bool add(struct keyring *keyring, struct view text, struct err *err)
{
    struct keyring_key key;
    if (keyring->count == KEYRING_KEYS_MAX) {
        return err_set(err, ERR_INVALID, "there are more than %d keys", KEYRING_KEYS_MAX);
    }
    if (!read_key_text(text, key.bytes)) {
        secret_wipe(&key, sizeof key);
        return err_set(err, ERR_INVALID, "a key must be 64 hex digits, or 32 bytes in base64");
    }
    bool ok = write_key_id(&key, err);
    if (ok && find(keyring, key.id) == NULL) {
        keyring->keys[keyring->count++] = key;
    }
    secret_wipe(&key, sizeof key);
    return ok;
}

bool keyring_read(struct keyring *keyring, const char *current, const char *older, struct err *err)
{
    struct view rest = view_of(older);
    *keyring = (struct keyring){0};
    if (current[0] == '\0') {
        return rest.len == 0 || err_set(err, ERR_INVALID, "there are only keys that do not seal");
    }
    bool ok = add(keyring, view_of(current), err);
    while (ok && rest.len > 0) {
        ok = add(keyring, view_cut(&rest, ','), err);
    }
    if (!ok) {
        keyring_wipe(keyring);
    }
    return ok;
}

void keyring_wipe(struct keyring *keyring)
{
    secret_wipe(keyring, sizeof *keyring);
}

const char *keyring_current(const struct keyring *keyring)
{
    return keyring->keys[0].id;
}

static void free_cipher(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
}

/* What the value is bound to. The parts can't run into each other: an id has one length. */
static bool bind_to_place(EVP_CIPHER_CTX *context, const struct keyring_place *place, bool sealing)
{
    int (*update)(EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int) =
        sealing ? EVP_EncryptUpdate : EVP_DecryptUpdate;
    const struct view parts[] = {VIEW(purpose), view_of(place->user_id), place->name};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int ignored;
        if (update(context, NULL, &ignored, (const unsigned char *)parts[i].ptr,
                   (int)parts[i].len) != 1) {
            return false;
        }
    }
    return true;
}

static bool seal(const struct keyring_key *key, const struct keyring_place *place,
                 struct view plain, uint8_t *out)
{
    AUTO(free_cipher) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int len = 0;
    int rest = 0;
    uint8_t *body = out + NONCE_BYTES;
    return context != NULL &&
           EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, out) == 1 &&
           bind_to_place(context, place, true) &&
           (plain.len == 0 ||
            EVP_EncryptUpdate(context, body, &len, (const unsigned char *)plain.ptr,
                              (int)plain.len) == 1) &&
           EVP_EncryptFinal_ex(context, body + len, &rest) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, body + plain.len) == 1;
}

bool keyring_seal(const struct keyring *keyring, const struct keyring_place *place,
                  struct view plain, uint8_t *out, struct err *err)
{
    if (keyring->count == 0) {
        return err_set_reason(err, ERR_UNAVAILABLE, "secrets_not_configured",
                              "there is no SECRETS_KEY");
    }
    if (plain.len > KEYRING_PLAIN_MAX) {
        return err_set(err, ERR_INVALID, "a secret is longer than %d bytes", KEYRING_PLAIN_MAX);
    }
    return secret_random(out, NONCE_BYTES, err) &&
           (seal(&keyring->keys[0], place, plain, out) ||
            err_set(err, ERR_INTERNAL, "AES-256-GCM failed"));
}

static bool unseal(const struct keyring_key *key, const struct keyring_place *place,
                   struct view sealed, uint8_t *out)
{
    AUTO(free_cipher) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const unsigned char *bytes = (const unsigned char *)sealed.ptr;
    size_t plain_len = sealed.len - KEYRING_OVERHEAD;
    unsigned char tag[TAG_BYTES];
    unsigned char none;
    int len = 0;
    int rest = 0;
    memcpy(tag, bytes + NONCE_BYTES + plain_len, TAG_BYTES);
    return context != NULL &&
           EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, bytes) == 1 &&
           bind_to_place(context, place, false) &&
           (plain_len == 0 ||
            EVP_DecryptUpdate(context, out, &len, bytes + NONCE_BYTES, (int)plain_len) == 1) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(context, &none, &rest) == 1;
}

bool keyring_unseal(const struct keyring *keyring, const char *key_id,
                    const struct keyring_place *place, struct view sealed, uint8_t *out,
                    struct err *err)
{
    const struct keyring_key *key = find(keyring, key_id);
    if (key == NULL) {
        return err_set_reason(err, ERR_UNAVAILABLE, "secret_unreadable",
                              "the key %s is not among ours", key_id);
    }
    if (sealed.len < KEYRING_OVERHEAD || sealed.len > KEYRING_PLAIN_MAX + KEYRING_OVERHEAD) {
        return err_set_reason(err, ERR_UNAVAILABLE, "secret_unreadable",
                              "a sealed value has no possible length");
    }
    if (unseal(key, place, sealed, out)) {
        return true;
    }
    secret_wipe(out, sealed.len - KEYRING_OVERHEAD);
    return err_set_reason(err, ERR_UNAVAILABLE, "secret_unreadable",
                          "a value was not sealed with the key %s for its place", key_id);
}
