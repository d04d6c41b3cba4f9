/* auth-service/api_keys/material.h: the secret text of an API key and what is stored of it. */
#ifndef AUTH_SERVICE_API_KEYS_MATERIAL_H
#define AUTH_SERVICE_API_KEYS_MATERIAL_H

#include "common/base/err.h"
#include "common/contracts/auth.h"

enum {
    API_KEY_HASH_LEN = 32, /* bytes of a SHA-256 */
    API_KEY_HASH_HEX_SIZE = API_KEY_HASH_LEN * 2 + 1,
    API_KEY_BCRYPT_LEN = 60,
    API_KEY_BCRYPT_SIZE = API_KEY_BCRYPT_LEN + 1,
    API_KEY_BCRYPT_COST = 10,
};

/* A new key from the kernel's generator. */
bool api_key_make(char key[API_KEY_SIZE], struct err *err) MUST_CHECK;

/* Hex of the SHA-256: what the row is found by. */
bool api_key_digest(const char key[API_KEY_SIZE], char out[API_KEY_HASH_HEX_SIZE],
                    struct err *err) MUST_CHECK;

/* HMAC-SHA-256 of the key: what caches know it by. */
bool api_key_hmac(struct view secret, const char key[API_KEY_SIZE], uint8_t out[API_KEY_HASH_LEN],
                  struct err *err) MUST_CHECK;

/* Both take some 50 ms of processor time: for worker threads. bcrypt runs over
 * base64(SHA-256(key)), so that its limit of 72 bytes and its stop at NUL never matter. */
bool api_key_bcrypt(const char key[API_KEY_SIZE], char out[API_KEY_BCRYPT_SIZE],
                    struct err *err) MUST_CHECK;
bool api_key_matches(const char key[API_KEY_SIZE], const char *bcrypt) MUST_CHECK;

#endif
