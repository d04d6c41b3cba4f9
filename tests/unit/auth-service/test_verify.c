/* auth-service/jwt/verify.c: what the shared vectors leave open, with tokens of our own. */
#include "auth-service/jwt/verify.h"
#include "tests/unit/auth-service/mint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER "{\"alg\":\"RS256\",\"kid\":\"k\"}"
#define ISSUER "https://issuer.example"
#define CLAIMS(more) "{\"sub\":\"user_1\",\"iss\":\"" ISSUER "\",\"exp\":2000" more "}"

static const double now_s = 1000;

struct fixture {
    struct mint_key *key; /* "k" */
    struct mint_key *ec;  /* "ec" */
    struct key_set *keys;
    struct token_policy policy;
    struct token_claims claims;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char jwk[MINT_JWK_SIZE];
    char ec[MINT_JWK_SIZE];
    char jwks[2 * MINT_JWK_SIZE + 16];
    struct err err = {0};
    assert_non_null(fixture);
    fixture->key = mint_key_new(2048);
    fixture->ec = mint_ec_key_new("P-256");
    mint_jwk(fixture->key, "k", jwk);
    mint_jwk(fixture->ec, "ec", ec);
    (void)snprintf(jwks, sizeof jwks, "{\"keys\":[%s,%s]}", jwk, ec);
    fixture->keys = key_set_from_jwks(view_of(jwks), true, &err);
    assert_non_null(fixture->keys);
    *state = fixture;
    return 0;
}

static int reset(void **state)
{
    struct fixture *fixture = *state;
    fixture->policy = (struct token_policy){.issuer = ISSUER, .audience = "", .clock_skew_s = 5};
    fixture->err = (struct err){0};
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    key_set_free(fixture->keys);
    mint_key_free(fixture->key);
    mint_key_free(fixture->ec);
    free(fixture);
    return 0;
}

static bool verify(struct fixture *fixture, const char *header, const char *payload)
{
    char token[MINT_TOKEN_SIZE];
    mint_token(fixture->key, header, payload, token);
    return token_verify(view_of(token), &fixture->policy, fixture->keys, now_s, &fixture->claims,
                        &fixture->err);
}

static void assert_accepted(struct fixture *fixture, const char *payload)
{
    if (!verify(fixture, HEADER, payload)) {
        fail_msg("%s: %s", payload, fixture->err.reason);
    }
}

static void assert_refused(struct fixture *fixture, const char *payload, const char *reason)
{
    assert_false(verify(fixture, HEADER, payload));
    assert_string_equal(fixture->err.reason, reason);
    assert_int_equal(fixture->err.code, ERR_UNAUTHENTICATED);
}

static void the_clock_may_be_off_by_the_skew_and_no_more(void **state)
{
    assert_accepted(*state, "{\"sub\":\"u\",\"iss\":\"" ISSUER "\",\"exp\":995.001}");
    assert_refused(*state, "{\"sub\":\"u\",\"iss\":\"" ISSUER "\",\"exp\":995}", "token-expired");
    assert_accepted(*state, CLAIMS(",\"nbf\":1005"));
    assert_refused(*state, CLAIMS(",\"nbf\":1005.5"), "token-not-active-yet");
    assert_accepted(*state, CLAIMS(",\"iat\":1005"));
    assert_refused(*state, CLAIMS(",\"iat\":1006"), "token-iat-in-the-future");
}

static void without_a_list_of_parties_none_is_asked_for(void **state)
{
    assert_accepted(*state, CLAIMS(""));
    assert_accepted(*state, CLAIMS(",\"azp\":\"https://anything.example\""));
}

static void a_missing_party_passes_only_by_the_switch(void **state)
{
    struct fixture *fixture = *state;
    fixture->policy.authorized_parties[0] = VIEW("https://app.example");
    fixture->policy.authorized_parties[1] = VIEW("https://other.example");
    fixture->policy.authorized_party_count = 2;
    assert_refused(fixture, CLAIMS(""), "token-invalid-authorized-parties");
    assert_accepted(fixture, CLAIMS(",\"azp\":\"https://other.example\""));
    fixture->policy.allow_missing_azp = true;
    assert_accepted(fixture, CLAIMS(""));
    assert_refused(fixture, CLAIMS(",\"azp\":\"https://evil.example\""),
                   "token-invalid-authorized-parties");
    assert_refused(fixture, CLAIMS(",\"azp\":\"\""), "token-invalid-authorized-parties");
}

static void a_configured_audience_must_be_there(void **state)
{
    struct fixture *fixture = *state;
    fixture->policy.audience = "us";
    assert_accepted(fixture, CLAIMS(",\"aud\":\"us\""));
    assert_accepted(fixture, CLAIMS(",\"aud\":[\"them\",\"us\"]"));
    assert_refused(fixture, CLAIMS(""), "token-verification-failed");
    assert_refused(fixture, CLAIMS(",\"aud\":\"u\""), "token-verification-failed");
    assert_refused(fixture, CLAIMS(",\"aud\":[]"), "token-verification-failed");
    assert_refused(fixture, CLAIMS(",\"aud\":[7,\"us\"]"), "token-verification-failed");
}

static void a_category_is_looked_at_unless_switched_off(void **state)
{
    static const char header[] = "{\"alg\":\"RS256\",\"kid\":\"k\",\"cat\":\"other\"}";
    struct fixture *fixture = *state;
    assert_false(verify(fixture, header, CLAIMS("")));
    assert_string_equal(fixture->err.reason, "token-type-mismatch");
    fixture->policy.ignore_category = true;
    assert_true(verify(fixture, header, CLAIMS("")));
}

/* A member name that hides behind an escape is the same member. */
static void an_escaped_critical_header_is_seen(void **state)
{
    struct fixture *fixture = *state;
    assert_false(
        verify(fixture, "{\"alg\":\"RS256\",\"kid\":\"k\",\"cr\\u0069t\":[\"exp\"]}", CLAIMS("")));
    assert_string_equal(fixture->err.reason, "token-invalid");
    assert_false(verify(fixture, "{\"alg\":\"RS256\",\"kid\":\"k\",\"crit\":false}", CLAIMS("")));
    assert_string_equal(fixture->err.reason, "token-invalid");
}

static void a_subject_is_printable_and_bounded(void **state)
{
    char payload[1024];
    char subject[300];
    memset(subject, 'x', sizeof subject);
    for (size_t len = 255; len <= 256; len++) {
        subject[len] = '\0';
        (void)snprintf(payload, sizeof payload,
                       "{\"sub\":\"%s\",\"iss\":\"" ISSUER "\",\"exp\":2000}", subject);
        assert_int_equal(verify(*state, HEADER, payload), len == 255);
        subject[len] = 'x';
    }
    assert_refused(*state, "{\"sub\":\"a\\u0007b\",\"iss\":\"" ISSUER "\",\"exp\":2000}",
                   "token-verification-failed");
}

static void the_kid_is_read_before_any_key_is_there(void **state)
{
    struct fixture *fixture = *state;
    char token[MINT_TOKEN_SIZE];
    char kid[KEY_ID_SIZE];
    mint_token(fixture->key, "{\"alg\":\"RS256\",\"kid\":\"ins_1\"}", CLAIMS(""), token);
    assert_true(token_read_kid(view_of(token), &fixture->policy, kid, &fixture->err));
    assert_string_equal(kid, "ins_1");
    mint_token(fixture->key, "{\"alg\":\"RS256\"}", CLAIMS(""), token);
    assert_true(token_read_kid(view_of(token), &fixture->policy, kid, &fixture->err));
    assert_string_equal(kid, "");
}

#define EC_HEADER "{\"alg\":\"ES256\",\"kid\":\"ec\"}"

/* "" when the token is good. */
static const char *reason_of(struct fixture *fixture, const char *token)
{
    fixture->err = (struct err){0};
    bool good = token_verify(view_of(token), &fixture->policy, fixture->keys, now_s,
                             &fixture->claims, &fixture->err);
    return good ? "" : fixture->err.reason;
}

static void set_signature(char token[MINT_TOKEN_SIZE], const char *signature)
{
    char *dot = strrchr(token, '.');
    (void)snprintf(dot + 1, MINT_TOKEN_SIZE - (size_t)(dot + 1 - token), "%s", signature);
}

static void es256_serves_where_it_is_let_in(void **state)
{
    struct fixture *fixture = *state;
    char token[MINT_TOKEN_SIZE];
    for (int i = 0; i < 20; i++) { /* numbers of all lengths */
        mint_token(fixture->ec, EC_HEADER, CLAIMS(""), token);
        fixture->policy.is_oidc = true;
        assert_string_equal(reason_of(fixture, token), "");
        fixture->policy.is_oidc = false;
        assert_string_equal(reason_of(fixture, token), "token-invalid-algorithm");
    }
}

/* The key says which algorithm it is for, whatever the token says. */
static void algorithms_and_keys_are_not_confused(void **state)
{
    struct fixture *fixture = *state;
    const struct {
        struct mint_key *key;
        const char *header;
        const char *reason;
    } cases[] = {
        {fixture->ec, "{\"alg\":\"RS256\",\"kid\":\"ec\"}", "token-invalid-algorithm"},
        {fixture->key, "{\"alg\":\"RS256\",\"kid\":\"ec\"}", "token-invalid-algorithm"},
        {fixture->key, "{\"alg\":\"ES256\",\"kid\":\"k\"}", "token-invalid-algorithm"},
        {fixture->ec, "{\"alg\":\"ES256\",\"kid\":\"k\"}", "token-invalid-algorithm"},
        {fixture->key, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", "token-invalid-signature"},
        {fixture->ec, "{\"alg\":\"RS256\",\"kid\":\"k\"}", "token-invalid-signature"},
        {fixture->ec, "{\"alg\":\"ES384\",\"kid\":\"ec\"}", "token-invalid-algorithm"},
        {fixture->ec, "{\"alg\":\"es256\",\"kid\":\"ec\"}", "token-invalid-algorithm"},
        {fixture->ec, "{\"alg\":\"HS256\",\"kid\":\"ec\"}", "token-invalid-algorithm"},
        {fixture->ec, "{\"alg\":\"none\",\"kid\":\"ec\"}", "token-invalid-algorithm"},
        {fixture->ec, "{\"alg\":\"ES256\",\"kid\":\"other\"}", "jwk-kid-mismatch"},
    };
    char token[MINT_TOKEN_SIZE];
    fixture->policy.is_oidc = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mint_token(cases[i].key, cases[i].header, CLAIMS(""), token);
        if (strcmp(reason_of(fixture, token), cases[i].reason) != 0) {
            fail_msg("%zu: %s", i, reason_of(fixture, token));
        }
    }
}

static void signatures_of_another_form_hold_nothing(void **state)
{
    static const char zeros[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                                "AAAAAAAAAAAAAAAAAAAAAA";
    struct fixture *fixture = *state;
    char token[MINT_TOKEN_SIZE];
    char longer[MINT_TOKEN_SIZE];
    fixture->policy.is_oidc = true;
    mint_token(fixture->ec, EC_HEADER, CLAIMS(""), token);
    assert_string_equal(reason_of(fixture, token), "");
    (void)snprintf(longer, sizeof longer, "%.*sAAAA", (int)strlen(token), token);
    longer[strlen(token) - 2] = 'A'; /* a whole group of four */
    longer[strlen(token) - 1] = 'A';
    assert_string_not_equal(reason_of(fixture, longer), "");
    set_signature(token, zeros);
    assert_string_equal(reason_of(fixture, token), "token-invalid-signature");
    set_signature(token, "AAAA");
    assert_string_equal(reason_of(fixture, token), "token-invalid-signature");
    set_signature(token, "MAYCAQECAQE"); /* as ASN.1 */
    assert_string_equal(reason_of(fixture, token), "token-invalid-signature");
    set_signature(token, "");
    assert_string_equal(reason_of(fixture, token), "token-invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_clock_may_be_off_by_the_skew_and_no_more, reset),
        cmocka_unit_test_setup(without_a_list_of_parties_none_is_asked_for, reset),
        cmocka_unit_test_setup(a_missing_party_passes_only_by_the_switch, reset),
        cmocka_unit_test_setup(a_configured_audience_must_be_there, reset),
        cmocka_unit_test_setup(a_category_is_looked_at_unless_switched_off, reset),
        cmocka_unit_test_setup(an_escaped_critical_header_is_seen, reset),
        cmocka_unit_test_setup(a_subject_is_printable_and_bounded, reset),
        cmocka_unit_test_setup(the_kid_is_read_before_any_key_is_there, reset),
        cmocka_unit_test_setup(es256_serves_where_it_is_let_in, reset),
        cmocka_unit_test_setup(algorithms_and_keys_are_not_confused, reset),
        cmocka_unit_test_setup(signatures_of_another_form_hold_nothing, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
