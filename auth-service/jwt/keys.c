#include "auth-service/jwt/keys.h"

#include "common/base/encode.h"
#include "common/json/read.h"
#include "common/json/scan.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

enum {
    MODULUS_TEXT_MAX = 1400, /* characters of base64url: a little over KEY_BITS_MAX */
    EXPONENT_TEXT_MAX = 12,  /* 64 bits */
    EXPONENT_BITS_MAX = 64,
    CURVE_TEXT_MAX = 16,
    COORDINATE_BYTES = 32,
    COORDINATE_TEXT_MAX = 43, /* of so many bytes */
    PEM_TEXT_MAX = 8192,
};

struct key {
    char kid[KEY_ID_SIZE];
    EVP_PKEY *pkey; /* owned */
};

struct key_set {
    bool any_kid; /* the one key serves for all */
    size_t count;
    struct key keys[KEY_SET_MAX];
};

/* A member of "keys". The rest of RFC 7517 is of no use here. */
struct jwk {
    struct view kty;
    struct view use;
    struct view alg;
    struct view kid;
    struct view n; /* of RSA, as the next */
    struct view e;
    struct view crv; /* of EC, as the next two */
    struct view x;
    struct view y;
};
static const struct json_field jwk_fields[] = {
    JSON_STRING(struct jwk, kty, "kty", .required = true),
    JSON_STRING(struct jwk, use, "use", .nullable = true),
    JSON_STRING(struct jwk, alg, "alg", .nullable = true),
    JSON_STRING(struct jwk, kid, "kid", .required = true, .not_empty = true, .max_len = KEY_ID_MAX),
    JSON_STRING(struct jwk, n, "n", .max_len = MODULUS_TEXT_MAX),
    JSON_STRING(struct jwk, e, "e", .max_len = EXPONENT_TEXT_MAX),
    JSON_STRING(struct jwk, crv, "crv", .max_len = CURVE_TEXT_MAX),
    JSON_STRING(struct jwk, x, "x", .max_len = COORDINATE_TEXT_MAX),
    JSON_STRING(struct jwk, y, "y", .max_len = COORDINATE_TEXT_MAX),
};

struct jwks {
    struct view keys;
};
static const struct json_field jwks_fields[] = {
    JSON_ARRAY(struct jwks, keys, "keys", .required = true),
};

static void free_number(BIGNUM **number)
{
    BN_free(*number);
}

static void free_builder(OSSL_PARAM_BLD **builder)
{
    OSSL_PARAM_BLD_free(*builder);
}

static void free_params(OSSL_PARAM **params)
{
    OSSL_PARAM_free(*params);
}

static void free_context(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

static void free_pkey(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static BIGNUM *number_from_text(struct view text)
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(MODULUS_TEXT_MAX)];
    size_t len = 0;
    if (text.len > MODULUS_TEXT_MAX ||
        !encode_base64_decode(ENCODE_BASE64_URL, text, bytes, &len)) {
        return NULL;
    }
    return BN_bin2bn(bytes, (int)len, NULL);
}

static bool numbers_are_sound(const BIGNUM *modulus, const BIGNUM *exponent)
{
    int bits = BN_num_bits(modulus);
    return bits >= KEY_BITS_MIN && bits <= KEY_BITS_MAX && BN_is_odd(modulus) &&
           BN_is_odd(exponent) && !BN_is_one(exponent) &&
           BN_num_bits(exponent) <= EXPONENT_BITS_MAX;
}

static EVP_PKEY *pkey_from_numbers(const BIGNUM *modulus, const BIGNUM *exponent)
{
    AUTO(free_builder) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    AUTO(free_context)
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (builder == NULL || context == NULL ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) != 1) {
        return NULL;
    }
    AUTO(free_params) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY *pkey = NULL;
    if (params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        return NULL;
    }
    return pkey;
}

static bool coordinate_from_text(struct view text, uint8_t out[COORDINATE_BYTES])
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(COORDINATE_TEXT_MAX)];
    size_t len = 0;
    if (text.len > COORDINATE_TEXT_MAX ||
        !encode_base64_decode(ENCODE_BASE64_URL, text, bytes, &len) || len != COORDINATE_BYTES) {
        return false;
    }
    memcpy(out, bytes, COORDINATE_BYTES);
    return true;
}

/* NULL for a point that does not lie on P-256. */
static EVP_PKEY *pkey_from_point(const uint8_t *point, size_t len)
{
    AUTO(free_builder) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    AUTO(free_context) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (builder == NULL || context == NULL ||
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len) != 1) {
        return NULL;
    }
    AUTO(free_params) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    AUTO(free_pkey) EVP_PKEY *pkey = NULL;
    if (params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        return NULL;
    }
    AUTO(free_context) EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    return check != NULL && EVP_PKEY_public_check(check) == 1 ? TAKE(pkey) : NULL;
}

static bool is_for(const struct jwk *jwk, struct view algorithm)
{
    return (jwk->use.len == 0 || view_equal(jwk->use, VIEW("sig"))) &&
           (jwk->alg.len == 0 || view_equal(jwk->alg, algorithm));
}

/* NULL for a key that can't verify an ES256 signature. */
static EVP_PKEY *pkey_from_ec(const struct jwk *jwk)
{
    uint8_t point[1 + 2 * COORDINATE_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    if (!is_for(jwk, VIEW("ES256")) || !view_equal(jwk->crv, VIEW("P-256")) ||
        !coordinate_from_text(jwk->x, point + 1) ||
        !coordinate_from_text(jwk->y, point + 1 + COORDINATE_BYTES)) {
        return NULL;
    }
    EVP_PKEY *pkey = pkey_from_point(point, sizeof point);
    ERR_clear_error();
    return pkey;
}

/* NULL for a key that can't verify an RS256 signature. */
static EVP_PKEY *pkey_from_rsa(const struct jwk *jwk)
{
    if (!is_for(jwk, VIEW("RS256"))) {
        return NULL;
    }
    AUTO(free_number) BIGNUM *modulus = number_from_text(jwk->n);
    AUTO(free_number) BIGNUM *exponent = number_from_text(jwk->e);
    if (modulus == NULL || exponent == NULL || !numbers_are_sound(modulus, exponent)) {
        return NULL;
    }
    return pkey_from_numbers(modulus, exponent);
}

static EVP_PKEY *pkey_from_jwk(const struct jwk *jwk, bool with_ec)
{
    if (view_equal(jwk->kty, VIEW("RSA"))) {
        return pkey_from_rsa(jwk);
    }
    return with_ec && view_equal(jwk->kty, VIEW("EC")) ? pkey_from_ec(jwk) : NULL;
}

struct collecting {
    struct key_set *set;
    bool with_ec;
    size_t seen;
};

static void on_jwk(struct view item, void *arg)
{
    struct collecting *collecting = arg;
    struct key_set *set = collecting->set;
    if (++collecting->seen > KEY_SET_MAX) {
        return;
    }
    struct jwk jwk;
    struct err ignored;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(item, &JSON_SCHEMA(jwk_fields), &jwk, NULL, &ignored);
    if (doc == NULL) {
        return;
    }
    struct key *key = &set->keys[set->count];
    key->pkey = pkey_from_jwk(&jwk, collecting->with_ec);
    if (key->pkey != NULL && view_copy(jwk.kid, key->kid, sizeof key->kid)) {
        set->count++;
        return;
    }
    EVP_PKEY_free(TAKE(key->pkey));
}

static bool collect(struct key_set *set, struct view json, bool with_ec, struct err *err)
{
    struct jwks jwks;
    struct collecting collecting = {.set = set, .with_ec = with_ec};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(json, &JSON_SCHEMA(jwks_fields), &jwks, NULL, err);
    if (doc == NULL || !json_scan_items(jwks.keys, on_jwk, &collecting, err)) {
        return false;
    }
    if (collecting.seen > KEY_SET_MAX) {
        return err_set(err, ERR_INVALID, "%zu keys; at most %d are read", collecting.seen,
                       KEY_SET_MAX);
    }
    return set->count > 0 || err_set(err, ERR_INVALID, "none of %zu keys is one for %s",
                                     collecting.seen, with_ec ? "RS256 or ES256" : "RS256");
}

struct key_set *key_set_from_jwks(struct view json, bool with_ec, struct err *err)
{
    struct key_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        err_set(err, ERR_INTERNAL, "key set: out of memory");
        return NULL;
    }
    if (!collect(set, json, with_ec, err)) {
        err_wrap(err, "key set");
        key_set_free(set);
        return NULL;
    }
    return set;
}

/* How many bytes of text are none of the key: a blank, a line break, one that is written out, or
 * the BEGIN or END line. */
static size_t skip_len(struct view text)
{
    static const struct view skipped[] = {
        VIEW("-----BEGIN PUBLIC KEY-----"),
        VIEW("-----END PUBLIC KEY-----"),
        VIEW("\\n"),
        VIEW("\\r"),
        VIEW("\n"),
        VIEW("\r"),
        VIEW(" "),
        VIEW("\t"),
    };
    for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++) {
        if (view_starts_with(text, skipped[i])) {
            return skipped[i].len;
        }
    }
    return 0;
}

static EVP_PKEY *pkey_from_pem(struct view pem)
{
    char text[PEM_TEXT_MAX];
    uint8_t der[ENCODE_BASE64_DECODED_MAX(PEM_TEXT_MAX)];
    size_t text_len = 0;
    size_t der_len = 0;
    while (pem.len > 0) {
        size_t skip = skip_len(pem);
        if (skip == 0 && text_len < sizeof text) {
            text[text_len++] = pem.ptr[0];
        }
        pem = view_from(pem, skip == 0 ? 1 : skip);
    }
    if (text_len == sizeof text ||
        !encode_base64_decode(ENCODE_BASE64, (struct view){text, text_len}, der, &der_len)) {
        return NULL;
    }
    const unsigned char *at = der;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der_len);
    if (pkey != NULL && at != der + der_len) {
        EVP_PKEY_free(TAKE(pkey));
    }
    return pkey;
}

static bool pkey_is_sound(const EVP_PKEY *pkey)
{
    AUTO(free_number) BIGNUM *modulus = NULL;
    AUTO(free_number) BIGNUM *exponent = NULL;
    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA &&
           EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1 &&
           EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
           numbers_are_sound(modulus, exponent);
}

struct key_set *key_set_from_pem(struct view pem, struct err *err)
{
    AUTO(free_pkey) EVP_PKEY *pkey = pkey_from_pem(pem);
    if (pkey == NULL || !pkey_is_sound(pkey)) {
        err_set(err, ERR_INVALID, "is not an RSA public key of at least %d bits in PEM form",
                KEY_BITS_MIN);
        return NULL;
    }
    struct key_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        err_set(err, ERR_INTERNAL, "key set: out of memory");
        return NULL;
    }
    set->any_kid = true;
    set->count = 1;
    set->keys[0].pkey = TAKE(pkey);
    return set;
}

void key_set_free(struct key_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        EVP_PKEY_free(set->keys[i].pkey);
    }
    free(set);
}

EVP_PKEY *key_set_find(const struct key_set *set, struct view kid)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->any_kid || view_equal(kid, view_of(set->keys[i].kid))) {
            return set->keys[i].pkey;
        }
    }
    return NULL;
}

size_t key_set_count(const struct key_set *set)
{
    return set->count;
}
