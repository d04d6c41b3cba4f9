/* auth-service/jwt/keys.c */
#include "auth-service/jwt/keys.h"
#include "common/base/str.h"
#include "tests/unit/auth-service/mint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

enum { TEXT_MAX = 256 * 1024 };

static struct mint_key *key;

static int set_up(void **state)
{
    (void)state;
    key = mint_key_new(2048);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mint_key_free(key);
    return 0;
}

static void write_set(struct str *out, size_t count)
{
    char jwk[MINT_JWK_SIZE];
    char kid[32];
    str_append_string(out, "{\"keys\":[");
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(kid, sizeof kid, "k%zu", i);
        mint_jwk(key, kid, jwk);
        str_appendf(out, "%s%s", i == 0 ? "" : ",", jwk);
    }
    str_append_string(out, "]}");
}

static void keys_are_found_by_their_kid(void **state)
{
    (void)state;
    struct str text = STR_INIT(TEXT_MAX);
    struct err err = {0};
    write_set(&text, 3);
    struct key_set *set = key_set_from_jwks(str_view(&text), false, &err);
    assert_non_null(set);
    assert_int_equal(key_set_count(set), 3);
    assert_non_null(key_set_find(set, VIEW("k0")));
    assert_non_null(key_set_find(set, VIEW("k2")));
    assert_null(key_set_find(set, VIEW("k")));
    assert_null(key_set_find(set, VIEW("k22")));
    assert_null(key_set_find(set, VIEW("")));
    key_set_free(set);
    str_free(&text);
}

static void a_set_of_more_than_the_most_keys_is_refused(void **state)
{
    (void)state;
    for (size_t count = KEY_SET_MAX; count <= KEY_SET_MAX + 1; count++) {
        struct str text = STR_INIT(TEXT_MAX);
        struct err err = {0};
        write_set(&text, count);
        struct key_set *set = key_set_from_jwks(str_view(&text), false, &err);
        assert_int_equal(set != NULL, count == KEY_SET_MAX);
        key_set_free(set);
        str_free(&text);
    }
}

static size_t count_keys(const char *jwk, bool with_ec)
{
    char text[MINT_JWK_SIZE * 2];
    struct err err = {0};
    (void)snprintf(text, sizeof text, "{\"keys\":[%s]}", jwk);
    struct key_set *set = key_set_from_jwks(view_of(text), with_ec, &err);
    size_t count = set == NULL ? 0 : key_set_count(set);
    key_set_free(set);
    return count;
}

static void keys_on_curves_are_for_those_who_ask_for_them(void **state)
{
    (void)state;
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        char jwk[MINT_JWK_SIZE];
        struct mint_key *ec = mint_ec_key_new(curves[i]);
        mint_jwk(ec, "k", jwk);
        assert_int_equal(count_keys(jwk, true), i == 0 ? 1 : 0);
        assert_int_equal(count_keys(jwk, false), 0);
        mint_key_free(ec);
    }
}

/* A point of P-256 (RFC 7515, A.3.1), and what is none. */
#define X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define POINT(x, y) "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" x "\",\"y\":\"" y "\""

static void only_points_of_the_curve_are_keys(void **state)
{
    (void)state;
    static const char *const others[] = {
        "{\"kid\":\"k\"," POINT(X, X) "}",
        "{\"kid\":\"k\"," POINT(Y, X) "}",
        "{\"kid\":\"k\"," POINT("", "") "}",
        "{\"kid\":\"k\"," POINT(X, "") "}",
        "{\"kid\":\"k\"," POINT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") "}",
        "{\"kid\":\"k\"," POINT(X, "AMfxRM0bvZt-hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt") "}",
        "{\"kid\":\"k\",\"alg\":\"RS256\"," POINT(X, Y) "}",
        "{\"kid\":\"k\",\"alg\":\"ES384\"," POINT(X, Y) "}",
        "{\"kid\":\"k\",\"use\":\"enc\"," POINT(X, Y) "}",
        "{" POINT(X, Y) "}",
        "{\"kid\":\"k\",\"kty\":\"RSA\",\"crv\":\"P-256\",\"x\":\"" X "\",\"y\":\"" Y "\"}",
        "{\"kid\":\"k\",\"kty\":\"oct\",\"k\":\"" X "\"}",
    };
    assert_int_equal(
        count_keys("{\"kid\":\"k\",\"use\":\"sig\",\"alg\":\"ES256\"," POINT(X, Y) "}", true), 1);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (count_keys(others[i], true) != 0) {
            fail_msg("%s", others[i]);
        }
    }
}

static void assert_no_key(const char *jwk)
{
    char text[MINT_JWK_SIZE * 2];
    struct err err = {0};
    (void)snprintf(text, sizeof text, "{\"keys\":[%s]}", jwk);
    struct key_set *set = key_set_from_jwks(view_of(text), false, &err);
    if (set != NULL) {
        fail_msg("accepted: %s", jwk);
    }
}

static void unsound_keys_are_left_out(void **state)
{
    (void)state;
    char jwk[MINT_JWK_SIZE];
    char text[MINT_JWK_SIZE + 64];
    mint_jwk(key, "k", jwk);
    const int members = (int)strlen(jwk) - 1; /* without the closing brace */
    const char *const additions[] = {",\"use\":\"enc\"", ",\"alg\":\"RS512\"", ",\"use\":5",
                                     ",\"kid\":\"twice\""};
    for (size_t i = 0; i < sizeof additions / sizeof additions[0]; i++) {
        (void)snprintf(text, sizeof text, "%.*s%s}", members, jwk, additions[i]);
        assert_no_key(text);
    }
    char *exponent = strstr(jwk, "AQAB");
    const char *const exponents[] = {"AQAA", "AAAB", "!!!!", "AQA="};
    for (size_t i = 0; i < sizeof exponents / sizeof exponents[0]; i++) {
        memcpy(exponent, exponents[i], strlen(exponents[i]));
        assert_no_key(jwk);
    }
    struct mint_key *small = mint_key_new(1024);
    mint_jwk(small, "k", jwk);
    assert_no_key(jwk);
    mint_key_free(small);
}

static void assert_pem(const char *pem, bool expected)
{
    struct err err = {0};
    struct key_set *set = key_set_from_pem(view_of(pem), &err);
    if ((set != NULL) != expected) {
        fail_msg("%s:\n%s", expected ? err.message : "accepted", pem);
    }
    key_set_free(set);
}

/* Writes instead for each line break. */
static void respell(const char *pem, const char *instead, struct str *out)
{
    for (; *pem != '\0'; pem++) {
        if (*pem == '\n') {
            str_append_string(out, instead);
        } else {
            str_append_char(out, *pem);
        }
    }
}

static void a_pem_is_read_in_each_spelling(void **state)
{
    (void)state;
    char pem[MINT_PEM_SIZE];
    mint_pem(key, pem);
    assert_pem(pem, true);
    const char *const breaks[] = {"\\n", "", " ", "\r\n", "\\r\\n"};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        struct str text = STR_INIT(TEXT_MAX);
        respell(pem, breaks[i], &text);
        assert_pem(text.data, true);
        str_free(&text);
    }
}

static void what_is_no_public_rsa_key_is_no_pem(void **state)
{
    (void)state;
    char pem[MINT_PEM_SIZE];
    assert_pem("", false);
    assert_pem("-----BEGIN PUBLIC KEY-----", false);
    assert_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", false);
    mint_pem(key, pem);
    pem[sizeof "-----BEGIN PUBLIC KEY-----\n"] = '!';
    assert_pem(pem, false);
    struct mint_key *small = mint_key_new(1024);
    mint_pem(small, pem);
    assert_pem(pem, false);
    mint_key_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found_by_their_kid),
        cmocka_unit_test(keys_on_curves_are_for_those_who_ask_for_them),
        cmocka_unit_test(only_points_of_the_curve_are_keys),
        cmocka_unit_test(a_set_of_more_than_the_most_keys_is_refused),
        cmocka_unit_test(unsound_keys_are_left_out),
        cmocka_unit_test(a_pem_is_read_in_each_spelling),
        cmocka_unit_test(what_is_no_public_rsa_key_is_no_pem),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
