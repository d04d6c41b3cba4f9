#include "tests/unit/auth-service/mint.h"

#include "common/base/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>

struct mint_key {
    EVP_PKEY *pkey; /* owned */
};

enum { NUMBER_MAX = 1024 };

struct mint_key *mint_key_new(unsigned bits)
{
    struct mint_key *key = calloc(1, sizeof *key);
    assert_non_null(key);
    key->pkey = EVP_RSA_gen(bits);
    assert_non_null(key->pkey);
    return key;
}

struct mint_key *mint_ec_key_new(const char *curve)
{
    struct mint_key *key = calloc(1, sizeof *key);
    assert_non_null(key);
    key->pkey = EVP_EC_gen(curve);
    assert_non_null(key->pkey);
    return key;
}

static bool is_ec(const struct mint_key *key)
{
    return EVP_PKEY_get_base_id(key->pkey) == EVP_PKEY_EC;
}

void mint_key_free(struct mint_key *key)
{
    EVP_PKEY_free(key->pkey);
    free(key);
}

static void encode_number(const struct mint_key *key, const char *name, char *out)
{
    BIGNUM *number = NULL;
    uint8_t bytes[NUMBER_MAX];
    assert_int_equal(EVP_PKEY_get_bn_param(key->pkey, name, &number), 1);
    assert_true(BN_num_bytes(number) <= NUMBER_MAX);
    int len = BN_bn2bin(number, bytes);
    (void)encode_base64(ENCODE_BASE64_URL, bytes, (size_t)len, out);
    BN_free(number);
}

static void encode_coordinate(const struct mint_key *key, const char *name, char *out)
{
    BIGNUM *number = NULL;
    uint8_t bytes[NUMBER_MAX];
    int size = (EVP_PKEY_get_bits(key->pkey) + 7) / 8;
    assert_int_equal(EVP_PKEY_get_bn_param(key->pkey, name, &number), 1);
    assert_int_equal(BN_bn2binpad(number, bytes, size), size);
    (void)encode_base64(ENCODE_BASE64_URL, bytes, (size_t)size, out);
    BN_free(number);
}

static void write_ec_jwk(const struct mint_key *key, const char *kid, char out[MINT_JWK_SIZE])
{
    char x[ENCODE_BASE64_SIZE(NUMBER_MAX)];
    char y[ENCODE_BASE64_SIZE(NUMBER_MAX)];
    encode_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, x);
    encode_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, y);
    int len = snprintf(out, MINT_JWK_SIZE,
                       "{\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"P-%d\",\"x\":\"%s\","
                       "\"y\":\"%s\"}",
                       kid, EVP_PKEY_get_bits(key->pkey), x, y);
    assert_in_range(len, 1, MINT_JWK_SIZE - 1);
}

void mint_jwk(const struct mint_key *key, const char *kid, char out[MINT_JWK_SIZE])
{
    if (is_ec(key)) {
        write_ec_jwk(key, kid, out);
        return;
    }
    char n[ENCODE_BASE64_SIZE(NUMBER_MAX)];
    char e[ENCODE_BASE64_SIZE(NUMBER_MAX)];
    encode_number(key, OSSL_PKEY_PARAM_RSA_N, n);
    encode_number(key, OSSL_PKEY_PARAM_RSA_E, e);
    int len = snprintf(out, MINT_JWK_SIZE,
                       "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"}", kid, n, e);
    assert_in_range(len, 1, MINT_JWK_SIZE - 1);
}

void mint_pem(const struct mint_key *key, char out[MINT_PEM_SIZE])
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(bio);
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key->pkey), 1);
    int len = BIO_read(bio, out, MINT_PEM_SIZE - 1);
    assert_in_range(len, 1, MINT_PEM_SIZE - 1);
    out[len] = '\0';
    BIO_free(bio);
}

/* r and s, side by side, of the ASN.1 that OpenSSL makes. */
static size_t make_raw(uint8_t signature[NUMBER_MAX], size_t len, int size)
{
    const unsigned char *at = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_non_null(pair);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, size), size);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + size, size), size);
    ECDSA_SIG_free(pair);
    return 2 * (size_t)size;
}

void mint_token(const struct mint_key *key, const char *header, const char *payload,
                char out[MINT_TOKEN_SIZE])
{
    uint8_t signature[NUMBER_MAX];
    size_t signature_len = sizeof signature;
    assert_true(ENCODE_BASE64_SIZE(strlen(header)) + ENCODE_BASE64_SIZE(strlen(payload)) +
                    ENCODE_BASE64_SIZE(NUMBER_MAX) <
                MINT_TOKEN_SIZE);
    size_t len = encode_base64(ENCODE_BASE64_URL, header, strlen(header), out);
    out[len++] = '.';
    len += encode_base64(ENCODE_BASE64_URL, payload, strlen(payload), out + len);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_non_null(context);
    assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->pkey), 1);
    assert_int_equal(EVP_DigestSign(context, signature, &signature_len, (const uint8_t *)out, len),
                     1);
    EVP_MD_CTX_free(context);
    if (is_ec(key)) {
        signature_len = make_raw(signature, signature_len, (EVP_PKEY_get_bits(key->pkey) + 7) / 8);
    }
    out[len++] = '.';
    (void)encode_base64(ENCODE_BASE64_URL, signature, signature_len, out + len);
}
