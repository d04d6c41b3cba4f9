#include "tests/support/authority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_SIZE = 256, VALUE_SIZE = 128, DAY_S = 24 * 3600, X509_VERSION_3_FIELD = 2 };

struct authority {
    char folder[FILE_SIZE];
    EVP_PKEY *key;
    X509 *certificate;
};

static void extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *certificate_new(EVP_PKEY *key, const char *name, long serial, long lifetime_s)
{
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    assert_int_equal(X509_set_version(certificate, X509_VERSION_3_FIELD), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), lifetime_s));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN",
                                                MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                                                0),
                     1);
    return certificate;
}

static FILE *create(const struct authority *authority, const char *name, const char *kind)
{
    char path[2 * FILE_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s.%s", authority->folder, name, kind);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    return file;
}

static void sign(const struct authority *authority, X509 *certificate, const char *name)
{
    assert_int_equal(
        X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate)), 1);
    assert_true(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
    FILE *file = create(authority, name, "pem");
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
}

struct authority *authority_new(const char *folder)
{
    struct authority *authority = calloc(1, sizeof *authority);
    assert_non_null(authority);
    (void)snprintf(authority->folder, sizeof authority->folder, "%s", folder);
    authority->key = EVP_EC_gen("P-256");
    assert_non_null(authority->key);
    authority->certificate = certificate_new(authority->key, "test authority", 1, DAY_S);
    extend(authority->certificate, authority->certificate, NID_basic_constraints,
           "critical,CA:TRUE");
    sign(authority, authority->certificate, "ca");
    return authority;
}

void authority_free(struct authority *authority)
{
    X509_free(authority->certificate);
    EVP_PKEY_free(authority->key);
    free(authority);
}

void authority_issue(const struct authority *authority, const char *name, const char *dns_name,
                     long lifetime_s)
{
    char value[VALUE_SIZE];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *certificate = certificate_new(key, name, 2, lifetime_s);
    (void)snprintf(value, sizeof value, "DNS:%s", dns_name);
    extend(certificate, authority->certificate, NID_subject_alt_name, value);
    sign(authority, certificate, name);
    FILE *file = create(authority, name, "key");
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
