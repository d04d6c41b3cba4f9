/* auth-service/jwt/keys.h: the public keys that session tokens are verified with. */
#ifndef AUTH_SERVICE_JWT_KEYS_H
#define AUTH_SERVICE_JWT_KEYS_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <openssl/evp.h>

enum {
    KEY_ID_MAX = 128, /* bytes of a kid */
    KEY_ID_SIZE = KEY_ID_MAX + 1,
    KEY_SET_MAX = 32, /* keys in a JWKS document */
    KEY_BITS_MIN = 2048,
    KEY_BITS_MAX = 8192,
};

struct key_set;

/* The keys of a JWKS document that can serve: RSA for RS256 signatures, of a sound size, and with
 * with_ec those on the curve P-256 for ES256, all with a kid; others are left out. ERR_INVALID when
 * none is left, when there are more than KEY_SET_MAX, or when json is no such document. The caller
 * frees the set with key_set_free. */
struct key_set *key_set_from_jwks(struct view json, bool with_ec, struct err *err) MUST_CHECK;

/* One RSA public key that serves for every kid. pem may have its line breaks, have them written as
 * \n, or be all on one line; the BEGIN and END lines may be missing. */
struct key_set *key_set_from_pem(struct view pem, struct err *err) MUST_CHECK;

void key_set_free(struct key_set *set);

/* Borrowed from the set; NULL when it has no such key. Its type says which signatures it verifies:
 * EVP_PKEY_RSA or EVP_PKEY_EC. */
EVP_PKEY *key_set_find(const struct key_set *set, struct view kid);
size_t key_set_count(const struct key_set *set);

#endif
