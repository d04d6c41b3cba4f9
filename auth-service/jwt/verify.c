#include "auth-service/jwt/verify.h"

#include "common/base/encode.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

enum {
    TOKEN_PARTS = 3,
    ES256_NUMBER = 32,                     /* bytes of r, and of s */
    ES256_DER_MAX = 2 * ES256_NUMBER + 16, /* the two as ASN.1 */
};

/* What "cat" says of a session token, and of one that a machine got. */
static const struct view category_session = VIEW("cl_B7d4PD111AAA");
static const struct view category_machine = VIEW("cl_B7d4PD333AAA");

struct token_parts {
    struct view header; /* base64url, as the next two */
    struct view payload;
    struct view signature;
    struct view signed_text; /* header and payload with the dot */
};

struct header {
    struct view algorithm;
    struct view type;
    bool critical;
    struct view category;
    struct view kid;
    bool has_type, has_critical, has_category;
};
/* "crit" is refused whatever it holds: as a wrong type or as present. */
static const struct json_field header_fields[] = {
    JSON_STRING(struct header, algorithm, "alg", .required = true),
    JSON_STRING(struct header, type, "typ", JSON_PRESENT(struct header, has_type)),
    JSON_BOOL(struct header, critical, "crit", JSON_PRESENT(struct header, has_critical)),
    JSON_STRING(struct header, category, "cat", JSON_PRESENT(struct header, has_category)),
    JSON_STRING(struct header, kid, "kid"),
};
static const struct token_member_reason header_reasons[] = {
    {"alg", "token-invalid-algorithm"}, {"typ", "token-invalid"},    {"crit", "token-invalid"},
    {"cat", "token-invalid"},           {"kid", "jwk-kid-mismatch"},
};

static bool is_base64url(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* An empty signature is told apart later, so that a token without one is refused for its algorithm
 * when that is what it lacks. */
static bool split(struct view token, struct token_parts *parts, struct err *err)
{
    size_t dots[TOKEN_PARTS - 1];
    size_t dot_count = 0;
    if (token.len == 0 || token.len > TOKEN_MAX) {
        return token_refuse(err, "token-invalid");
    }
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] == '.' && dot_count < TOKEN_PARTS - 1) {
            dots[dot_count++] = i;
        } else if (!is_base64url(token.ptr[i])) {
            return token_refuse(err, "token-invalid");
        }
    }
    if (dot_count != TOKEN_PARTS - 1 || dots[0] == 0 || dots[1] == dots[0] + 1) {
        return token_refuse(err, "token-invalid");
    }
    parts->header = (struct view){token.ptr, dots[0]};
    parts->payload = (struct view){token.ptr + dots[0] + 1, dots[1] - dots[0] - 1};
    parts->signature = view_from(token, dots[1] + 1);
    parts->signed_text = (struct view){token.ptr, dots[1]};
    return true;
}

/* What a token says of its signature. The algorithm is only ever compared with that of our key. */
struct token_head {
    char kid[KEY_ID_SIZE];
    bool is_es256; /* else RS256 */
};

/* Media types have no case; "JWT" is no media type. */
static bool has_right_type(const struct header *header, const struct token_policy *policy)
{
    return !header->has_type || view_equal(header->type, VIEW("JWT")) ||
           (policy->is_oidc && (view_equal_nocase(header->type, VIEW("at+jwt")) ||
                                view_equal_nocase(header->type, VIEW("application/at+jwt"))));
}

static bool check_header(const struct header *header, const struct token_policy *policy,
                         struct err *err)
{
    if (!view_equal(header->algorithm, VIEW("RS256")) &&
        !(policy->is_oidc && view_equal(header->algorithm, VIEW("ES256")))) {
        return token_refuse(err, "token-invalid-algorithm");
    }
    if (!has_right_type(header, policy) || header->has_critical) {
        return token_refuse(err, "token-invalid");
    }
    if (header->has_category && !policy->is_oidc && !policy->ignore_category &&
        !view_equal(header->category, category_session)) {
        return token_refuse(err, view_equal(header->category, category_machine)
                                     ? "token-invalid"
                                     : "token-type-mismatch");
    }
    if (header->kid.len > KEY_ID_MAX) {
        return token_refuse(err, "token-invalid");
    }
    return true;
}

static bool decode(struct view part, uint8_t *bytes, struct view *out, struct err *err)
{
    size_t len = 0;
    if (!encode_base64_decode(ENCODE_BASE64_URL, part, bytes, &len)) {
        return token_refuse(err, "token-invalid");
    }
    *out = (struct view){(const char *)bytes, len};
    return true;
}

static bool read_header(const struct token_parts *parts, const struct token_policy *policy,
                        struct token_head *head, struct err *err)
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(TOKEN_MAX)];
    struct view text;
    struct header header;
    struct json_violations violations;
    struct err unused;
    if (!decode(parts->header, bytes, &text, err)) {
        return false;
    }
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(text, &JSON_SCHEMA(header_fields), &header, &violations, &unused);
    if (doc == NULL) {
        return token_refuse_document(&violations, header_reasons,
                                     sizeof header_reasons / sizeof header_reasons[0], err);
    }
    head->is_es256 = view_equal(header.algorithm, VIEW("ES256"));
    return check_header(&header, policy, err) &&
           (view_copy(header.kid, head->kid, sizeof head->kid) ||
            token_refuse(err, "token-invalid"));
}

static bool read_head(struct view token, const struct token_policy *policy,
                      struct token_parts *parts, struct token_head *head, struct err *err)
{
    return split(token, parts, err) && read_header(parts, policy, head, err) &&
           (parts->signature.len > 0 || token_refuse(err, "token-invalid"));
}

bool token_read_kid(struct view token, const struct token_policy *policy, char kid[KEY_ID_SIZE],
                    struct err *err)
{
    struct token_parts parts;
    struct token_head head;
    if (!read_head(token, policy, &parts, &head, err)) {
        return false;
    }
    memcpy(kid, head.kid, KEY_ID_SIZE);
    return true;
}

static void free_digest(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

static void free_ecdsa(ECDSA_SIG **signature)
{
    ECDSA_SIG_free(*signature);
}

/* Of r and s, side by side (RFC 7518, 3.4), the form that OpenSSL takes. Returns its length, 0 when
 * they have another. */
static size_t write_der(struct view signature, uint8_t out[ES256_DER_MAX])
{
    const unsigned char *bytes = (const unsigned char *)signature.ptr;
    AUTO(free_ecdsa) ECDSA_SIG *pair = ECDSA_SIG_new();
    if (pair == NULL || signature.len != (size_t)2 * ES256_NUMBER) {
        return 0;
    }
    BIGNUM *r = BN_bin2bn(bytes, ES256_NUMBER, NULL);
    BIGNUM *s = BN_bin2bn(bytes + ES256_NUMBER, ES256_NUMBER, NULL);
    if (r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return 0;
    }
    int len = i2d_ECDSA_SIG(pair, NULL);
    return len > 0 && len <= ES256_DER_MAX ? (size_t)i2d_ECDSA_SIG(pair, &out) : 0;
}

/* SHA-256 on the key's curve, which is P-256. */
static bool es256_holds(EVP_PKEY *pkey, struct view signed_text, struct view signature)
{
    uint8_t der[ES256_DER_MAX];
    size_t len = write_der(signature, der);
    AUTO(free_digest) EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool holds = context != NULL && len > 0 &&
                 EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, pkey) == 1 &&
                 EVP_DigestVerify(context, der, len, (const unsigned char *)signed_text.ptr,
                                  signed_text.len) == 1;
    ERR_clear_error();
    return holds;
}

/* SHA-256 and PKCS#1 padding, whatever the token says. */
static bool rs256_holds(EVP_PKEY *pkey, struct view signed_text, struct view signature)
{
    EVP_PKEY_CTX *pkey_context = NULL; /* borrowed from context */
    AUTO(free_digest) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || signature.len != (size_t)EVP_PKEY_get_size(pkey)) {
        return false;
    }
    bool holds = EVP_DigestVerifyInit(context, &pkey_context, EVP_sha256(), NULL, pkey) == 1 &&
                 EVP_PKEY_CTX_set_rsa_padding(pkey_context, RSA_PKCS1_PADDING) == 1 &&
                 EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                                  (const unsigned char *)signed_text.ptr, signed_text.len) == 1;
    ERR_clear_error();
    return holds;
}

static bool check_signature(const struct token_parts *parts, const struct key_set *keys,
                            const struct token_head *head, struct err *err)
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(TOKEN_MAX)];
    struct view signature;
    if (!decode(parts->signature, bytes, &signature, err)) {
        return false;
    }
    EVP_PKEY *pkey = key_set_find(keys, view_of(head->kid));
    if (pkey == NULL) {
        return token_refuse(err, "jwk-kid-mismatch");
    }
    bool is_ec = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC;
    if (is_ec != head->is_es256) {
        return token_refuse(err, "token-invalid-algorithm");
    }
    return (is_ec ? es256_holds : rs256_holds)(pkey, parts->signed_text, signature) ||
           token_refuse(err, "token-invalid-signature");
}

bool token_verify(struct view token, const struct token_policy *policy, const struct key_set *keys,
                  double now_s, struct token_claims *claims, struct err *err)
{
    struct token_parts parts;
    struct token_head head;
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(TOKEN_MAX)];
    struct view payload;
    *claims = (struct token_claims){0};
    return read_head(token, policy, &parts, &head, err) &&
           check_signature(&parts, keys, &head, err) &&
           decode(parts.payload, bytes, &payload, err) &&
           token_claims_read(payload, policy, now_s, claims, err);
}

struct named_issuer {
    struct view issuer;
};
static const struct json_field named_issuer_fields[] = {
    JSON_STRING(struct named_issuer, issuer, "iss", .required = true),
};

bool token_names_issuer(struct view token, const char *issuer)
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(TOKEN_MAX)];
    struct token_parts parts;
    struct view payload;
    struct named_issuer named;
    struct err ignored;
    if (!split(token, &parts, &ignored) || !decode(parts.payload, bytes, &payload, &ignored)) {
        return false;
    }
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(payload, &JSON_SCHEMA(named_issuer_fields), &named, NULL, &ignored);
    return doc != NULL && view_equal(named.issuer, view_of(issuer));
}
