#include "auth-service/api_keys/material.h"

#include "common/base/encode.h"
#include "common/base/secret.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

enum {
    KEY_PREFIX_LEN = 4, /* isk_ */
    SALT_BYTES = 16,
    PASSWORD_SIZE = ENCODE_BASE64_SIZE(API_KEY_HASH_LEN),
};

bool api_key_make(char key[API_KEY_SIZE], struct err *err)
{
    uint8_t bytes[(API_KEY_LEN - KEY_PREFIX_LEN) / 2];
    if (!secret_random(bytes, sizeof bytes, err)) {
        return false;
    }
    memcpy(key, "isk_", KEY_PREFIX_LEN);
    encode_hex(bytes, sizeof bytes, key + KEY_PREFIX_LEN);
    secret_wipe(bytes, sizeof bytes);
    return true;
}

static bool hash_key(const char key[API_KEY_SIZE], uint8_t out[API_KEY_HASH_LEN], struct err *err)
{
    return EVP_Digest(key, API_KEY_LEN, out, NULL, EVP_sha256(), NULL) == 1 ||
           err_set(err, ERR_INTERNAL, "SHA-256 failed");
}

bool api_key_digest(const char key[API_KEY_SIZE], char out[API_KEY_HASH_HEX_SIZE], struct err *err)
{
    uint8_t hash[API_KEY_HASH_LEN];
    if (!hash_key(key, hash, err)) {
        return false;
    }
    encode_hex(hash, sizeof hash, out);
    return true;
}

bool api_key_hmac(struct view secret, const char key[API_KEY_SIZE], uint8_t out[API_KEY_HASH_LEN],
                  struct err *err)
{
    return HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)key, API_KEY_LEN,
                out, NULL) != NULL ||
           err_set(err, ERR_INTERNAL, "HMAC failed");
}

/* The work of both functions below: hashes key as setting (a salt, or a whole hash) says. */
static bool crypt_key(const char key[API_KEY_SIZE], const char *setting,
                      char out[API_KEY_BCRYPT_SIZE], struct err *err)
{
    uint8_t hash[API_KEY_HASH_LEN];
    char password[PASSWORD_SIZE];
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL) {
        return err_set(err, ERR_INTERNAL, "bcrypt: out of memory");
    }
    bool hashed = hash_key(key, hash, err);
    if (hashed) {
        (void)encode_base64(ENCODE_BASE64, hash, sizeof hash, password);
        const char *result = crypt_r(password, setting, data);
        hashed = (result != NULL && strlen(result) == API_KEY_BCRYPT_LEN &&
                  view_copy(view_of(result), out, API_KEY_BCRYPT_SIZE)) ||
                 err_set(err, ERR_INTERNAL, "bcrypt failed");
    }
    secret_wipe(hash, sizeof hash);
    secret_wipe(password, sizeof password);
    secret_wipe(data, sizeof *data);
    free(data);
    return hashed;
}

bool api_key_bcrypt(const char key[API_KEY_SIZE], char out[API_KEY_BCRYPT_SIZE], struct err *err)
{
    char random[SALT_BYTES];
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!secret_random(random, sizeof random, err)) {
        return false;
    }
    if (crypt_gensalt_rn("$2b$", API_KEY_BCRYPT_COST, random, sizeof random, setting,
                         sizeof setting) == NULL) {
        return err_set(err, ERR_INTERNAL, "bcrypt: no salt");
    }
    return crypt_key(key, setting, out, err);
}

bool api_key_matches(const char key[API_KEY_SIZE], const char *bcrypt)
{
    char again[API_KEY_BCRYPT_SIZE];
    struct err ignored;
    return strlen(bcrypt) == API_KEY_BCRYPT_LEN && crypt_key(key, bcrypt, again, &ignored) &&
           secret_equal(again, bcrypt, API_KEY_BCRYPT_LEN);
}
