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
    struct mint_key *key;
    struct key_set *keys;
    struct token_policy policy;
    struct token_claims claims;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char jwk[MINT_JWK_SIZE];
    char jwks[MINT_JWK_SIZE + 16];
    struct err err = {0};
    assert_non_null(fixture);
    fixture->key = mint_key_new(2048);
    mint_jwk(fixture->key, "k", jwk);
    (void)snprintf(jwks, sizeof jwks, "{\"keys\":[%s]}", jwk);
    fixture->keys = key_set_from_jwks(view_of(jwks), &err);
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
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
