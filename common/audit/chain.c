#include "common/audit/chain.h"

#include <arpa/inet.h>
#include <openssl/evp.h>

/* Named in what is hashed, so that a row and a personal part are never taken for each other. */
#define ROW_FORM "insien audit row 1"
#define PERSONAL_FORM "insien audit personal 1"

const uint8_t audit_chain_start[AUDIT_HASH_BYTES] = {0};

/* SHA-256 over fields, each with its length before it, so that no two rows look alike. */
struct digest {
    EVP_MD_CTX *context; /* owned */
    bool failed;
};

static void add(struct digest *digest, const void *bytes, size_t len)
{
    digest->failed =
        digest->failed || (len > 0 && EVP_DigestUpdate(digest->context, bytes, len) != 1);
}

/* bytes NULL: SQL's NULL, which is not the empty text. */
static void add_field(struct digest *digest, const void *bytes, size_t len)
{
    uint32_t length = htonl((uint32_t)len);
    const uint8_t is_there = bytes != NULL;
    add(digest, &is_there, sizeof is_there);
    if (is_there != 0) {
        add(digest, &length, sizeof length);
        add(digest, bytes, len);
    }
}

static void add_text(struct digest *digest, const char *text)
{
    size_t len = strlen(text);
    add_field(digest, len == 0 ? NULL : text, len);
}

static void begin(struct digest *digest, const char *form, const uint8_t first[AUDIT_HASH_BYTES])
{
    digest->context = EVP_MD_CTX_new();
    digest->failed =
        digest->context == NULL || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1;
    add_text(digest, form);
    add_field(digest, first, AUDIT_HASH_BYTES);
}

static bool end(struct digest *digest, uint8_t out[AUDIT_HASH_BYTES], struct err *err)
{
    bool ok = !digest->failed && EVP_DigestFinal_ex(digest->context, out, NULL) == 1;
    EVP_MD_CTX_free(digest->context);
    return ok || err_set(err, ERR_INTERNAL, "audit: SHA-256 failed");
}

bool audit_chain_next(const uint8_t previous[AUDIT_HASH_BYTES], const PGresult *result, int row,
                      int first_column, uint8_t out[AUDIT_HASH_BYTES], struct err *err)
{
    struct digest digest;
    begin(&digest, ROW_FORM, previous);
    for (int i = 0; i < AUDIT_ROW_COLUMN_COUNT; i++) {
        int column = first_column + i;
        bool is_null = PQgetisnull(result, row, column) != 0;
        add_field(&digest, is_null ? NULL : PQgetvalue(result, row, column),
                  (size_t)PQgetlength(result, row, column));
    }
    return end(&digest, out, err);
}

static void add_address(struct digest *digest, const char *text)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        add_field(digest, &v4, sizeof v4);
    } else if (inet_pton(AF_INET6, text, &v6) == 1) {
        add_field(digest, &v6, sizeof v6);
    } else {
        add_text(digest, text);
    }
}

bool audit_personal_digest(const uint8_t salt[AUDIT_SALT_BYTES],
                           const struct audit_personal *personal, uint8_t out[AUDIT_HASH_BYTES],
                           struct err *err)
{
    struct digest digest;
    begin(&digest, PERSONAL_FORM, salt);
    add_address(&digest, personal->address);
    add_text(&digest, personal->impersonator);
    add_text(&digest, personal->user_agent);
    return end(&digest, out, err);
}
