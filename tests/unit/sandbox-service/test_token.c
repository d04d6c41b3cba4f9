/* sandbox-service/credential/token.c */
#include "sandbox-service/credential/token.h"

#include "common/base/clock.h"
#include "common/base/encode.h"
#include "common/base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jwt.h>
#include <stdio.h>

static const char secret[] = "0123456789abcdef0123456789abcdef";
static const char other_secret[] = "fedcba9876543210fedcba9876543210";
static const char sandbox[] = "6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60";
static const char other_sandbox[] = "0b1de5a3-5d2f-4be5-8d53-0a0a6f1de7aa";

enum { GENERATION = 7, TOKEN_SIZE = 512 };

static char *sign(int64_t life_s)
{
    struct err err = {0};
    char *token = agent_token_sign(secret, sandbox, GENERATION, life_s, &err);
    assert_non_null(token);
    return token;
}

static bool accepts(const char *key, const char *token, const char *id)
{
    struct err err = {0};
    int64_t generation = -1;
    bool ok = agent_token_check(key, view_of(token), id, &generation, &err);
    if (ok) {
        assert_int_equal(generation, GENERATION);
    } else {
        assert_int_equal(err.code, ERR_UNAUTHENTICATED);
        assert_string_equal(err.reason, "invalid_agent_token");
    }
    return ok;
}

/* A token with a header and claims of the test's choice, its signature good. */
static char *forge(jwt_alg_t algorithm, const char *type, const char *expiry_claim, long expires)
{
    jwt_t *jwt = NULL;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grant(jwt, "sub", sandbox), 0);
    assert_int_equal(jwt_add_grant(jwt, "typ", type), 0);
    assert_int_equal(jwt_add_grant_int(jwt, "gen", GENERATION), 0);
    assert_int_equal(jwt_add_grant_int(jwt, expiry_claim, expires), 0);
    assert_int_equal(
        jwt_set_alg(jwt, algorithm, (const unsigned char *)secret, (int)strlen(secret)), 0);
    char *token = jwt_encode_str(jwt);
    jwt_free(jwt);
    assert_non_null(token);
    return token;
}

static void token_without_expiry_is_accepted(void **state)
{
    (void)state;
    AUTO(secret_free_string) char *token = sign(0);
    assert_true(accepts(secret, token, sandbox));
}

static void token_within_its_life_is_accepted(void **state)
{
    (void)state;
    AUTO(secret_free_string) char *token = sign(AGENT_TOKEN_FIRST_LIFE_S);
    assert_true(accepts(secret, token, sandbox));
}

static void expired_token_is_refused(void **state)
{
    (void)state;
    long past = (long)(clock_wall_ms() / 1000) - 1;
    AUTO(secret_free_string) char *token = forge(JWT_ALG_HS256, "agent", "exp", past);
    assert_false(accepts(secret, token, sandbox));
}

static void token_of_another_sandbox_is_refused(void **state)
{
    (void)state;
    AUTO(secret_free_string) char *token = sign(0);
    assert_false(accepts(secret, token, other_sandbox));
}

static void token_of_another_key_is_refused(void **state)
{
    (void)state;
    AUTO(secret_free_string) char *token = sign(0);
    assert_false(accepts(other_secret, token, sandbox));
}

static void token_of_another_type_is_refused(void **state)
{
    (void)state;
    AUTO(secret_free_string) char *token = forge(JWT_ALG_HS256, "client", "iat", 1);
    assert_false(accepts(secret, token, sandbox));
}

static void other_algorithms_are_refused_though_the_key_fits(void **state)
{
    (void)state;
    AUTO(secret_free_string) char *token = forge(JWT_ALG_HS512, "agent", "iat", 1);
    assert_false(accepts(secret, token, sandbox));
}

static void unsigned_token_is_refused(void **state)
{
    (void)state;
    char claims[256];
    char encoded[ENCODE_BASE64_SIZE(sizeof claims)];
    char token[TOKEN_SIZE];
    int len =
        snprintf(claims, sizeof claims, "{\"sub\":\"%s\",\"typ\":\"agent\",\"gen\":7}", sandbox);
    (void)encode_base64(ENCODE_BASE64_URL, claims, (size_t)len, encoded);
    /* {"alg":"none"} */
    (void)snprintf(token, sizeof token, "eyJhbGciOiJub25lIn0.%s.", encoded);
    assert_false(accepts(secret, token, sandbox));
}

static void changed_token_is_refused(void **state)
{
    (void)state;
    AUTO(secret_free_string) char *token = sign(0);
    for (char *at = token; *at != '\0'; at++) {
        char kept = *at;
        *at = kept == 'A' ? 'B' : 'A';
        /* The last character of the signature has bits that do not count. */
        if (at[1] != '\0' && accepts(secret, token, sandbox)) {
            fail_msg("changed at %d and accepted", (int)(at - token));
        }
        *at = kept;
    }
    assert_true(accepts(secret, token, sandbox));
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", ".", "..", "a.b.c", "eyJhbGciOiJIUzI1NiJ9..", "eyJhbGciOiJIUzI1NiJ9"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(accepts(secret, wrong[i], sandbox));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_without_expiry_is_accepted),
        cmocka_unit_test(token_within_its_life_is_accepted),
        cmocka_unit_test(expired_token_is_refused),
        cmocka_unit_test(token_of_another_sandbox_is_refused),
        cmocka_unit_test(token_of_another_key_is_refused),
        cmocka_unit_test(token_of_another_type_is_refused),
        cmocka_unit_test(other_algorithms_are_refused_though_the_key_fits),
        cmocka_unit_test(unsigned_token_is_refused),
        cmocka_unit_test(changed_token_is_refused),
        cmocka_unit_test(what_is_no_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
