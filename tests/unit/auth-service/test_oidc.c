/* Another issuer beside Clerk, or instead of it: auth-service/jwt/oidc and the sessions of both. */
#include "auth-service/users/session.h"

#include "tests/unit/auth-service/accounts.h"
#include "tests/unit/auth-service/mint.h"
#include "tests/unit/auth-service/web.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define CLERK "https://clerk.example"
#define OIDC "https://id.example/"
#define AUDIENCE "https://api.example"
#define GOOD "\"sub\":\"anna\",\"exp\":4102444800"

struct stage {
    struct accounts *accounts;
    struct http_client *http;
    struct web web;
    struct mint_key *clerk_key;
    struct mint_key *oidc_key;
    struct clerk_settings clerk;
    struct oidc_settings oidc;
};

struct answer {
    bool done;
    struct user user;
    struct err err;
};

static int set_up(void **state)
{
    static struct stage stage;
    struct err err = {0};
    char jwk[MINT_JWK_SIZE];
    void *accounts = NULL;
    (void)accounts_set_up(&accounts);
    stage = (struct stage){.accounts = accounts};
    web_open(&stage.web, stage.accounts->loop);
    stage.http = http_client_open(stage.accounts->loop, NULL, 2, &err);
    assert_non_null(stage.http);
    stage.clerk_key = mint_key_new(2048);
    stage.oidc_key = mint_key_new(2048);
    mint_jwk(stage.oidc_key, "k1", jwk);
    (void)snprintf(stage.web.body, sizeof stage.web.body, "{\"keys\":[%s]}", jwk);
    stage.clerk = (struct clerk_settings){.issuer = CLERK, .clock_skew_s = 5};
    mint_pem(stage.clerk_key, stage.clerk.jwt_key);
    stage.oidc = (struct oidc_settings){.issuer = OIDC, .audience = AUDIENCE};
    (void)snprintf(stage.oidc.jwks_url, sizeof stage.oidc.jwks_url, "%s/keys", stage.web.url);
    *state = &stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    void *accounts = stage->accounts;
    http_client_close(stage->http);
    web_close(&stage->web);
    mint_key_free(stage->clerk_key);
    mint_key_free(stage->oidc_key);
    (void)accounts_tear_down(&accounts);
    return 0;
}

static struct sessions *open_sessions(struct stage *stage, const struct clerk_settings *clerk,
                                      const struct oidc_settings *oidc, struct err *err)
{
    struct sessions_options options = accounts_session_options(stage->accounts, clerk);
    options.http = stage->http;
    options.oidc = oidc;
    return sessions_open(&options, err);
}

static struct sessions *open_both(struct stage *stage)
{
    struct err err = {0};
    struct sessions *sessions = open_sessions(stage, &stage->clerk, &stage->oidc, &err);
    if (sessions == NULL) {
        fail_msg("%s", err.message);
    }
    return sessions;
}

static void on_checked(const struct session *session, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (session != NULL) {
        answer->user = *session->user;
    } else if (err != NULL) {
        answer->err = *err;
    }
}

static struct answer check(struct stage *stage, struct sessions *sessions,
                           const struct mint_key *key, const char *header, const char *payload)
{
    struct answer answer = {0};
    char token[MINT_TOKEN_SIZE];
    mint_token(key, header, payload, token);
    if (!session_check(sessions, view_of(token), &trace_none, ACCOUNTS_TIMEOUT_MS, on_checked,
                       &answer, &answer.err)) {
        return answer;
    }
    turn_until(stage->accounts->loop, &answer.done);
    return answer;
}

#define HEADER "{\"alg\":\"RS256\",\"kid\":\"k1\"}"
#define OF_OIDC "\"iss\":\"" OIDC "\",\"aud\":\"" AUDIENCE "\""

static void each_issuers_tokens_are_verified_by_its_own_keys(void **state)
{
    struct stage *stage = *state;
    struct sessions *sessions = open_both(stage);
    struct answer of_clerk =
        check(stage, sessions, stage->clerk_key, HEADER, "{" GOOD ",\"iss\":\"" CLERK "\"}");
    struct answer of_oidc =
        check(stage, sessions, stage->oidc_key, HEADER, "{" GOOD "," OF_OIDC "}");
    assert_int_equal(of_clerk.err.code, ERR_NONE);
    assert_int_equal(of_oidc.err.code, ERR_NONE);
    /* One subject, two issuers: two people. */
    assert_string_not_equal(of_clerk.user.id, of_oidc.user.id);

    struct answer forged =
        check(stage, sessions, stage->clerk_key, HEADER, "{" GOOD "," OF_OIDC "}");
    assert_string_equal(forged.err.reason, "invalid_session");
    forged = check(stage, sessions, stage->oidc_key, HEADER, "{" GOOD ",\"iss\":\"" CLERK "\"}");
    assert_string_equal(forged.err.reason, "invalid_session");
    sessions_close(sessions);
}

static void an_access_token_is_the_other_issuers_alone(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"application/at+JWT\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"JWT\"}",
    };
    struct stage *stage = *state;
    struct sessions *sessions = open_both(stage);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        const struct answer of_oidc =
            check(stage, sessions, stage->oidc_key, headers[i], "{" GOOD "," OF_OIDC "}");
        const struct answer of_clerk = check(stage, sessions, stage->clerk_key, headers[i],
                                             "{" GOOD ",\"iss\":\"" CLERK "\"}");
        assert_int_equal(of_oidc.err.code, ERR_NONE);
        assert_int_equal(of_clerk.err.code, i == 2 ? ERR_NONE : ERR_UNAUTHENTICATED);
    }
    sessions_close(sessions);
}

static void what_is_not_meant_for_us_is_refused(void **state)
{
    static const struct {
        const char *name;
        const char *payload;
    } cases[] = {
        {"no audience", "{" GOOD ",\"iss\":\"" OIDC "\"}"},
        {"another audience", "{" GOOD ",\"iss\":\"" OIDC "\",\"aud\":\"https://other.example\"}"},
        {"an issuer almost the same",
         "{" GOOD ",\"iss\":\"https://id.example\",\"aud\":\"" AUDIENCE "\"}"},
        {"expired", "{\"sub\":\"anna\",\"exp\":1," OF_OIDC "}"},
        {"no subject", "{\"exp\":4102444800," OF_OIDC "}"},
    };
    struct stage *stage = *state;
    struct sessions *sessions = open_both(stage);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct answer answer =
            check(stage, sessions, stage->oidc_key, HEADER, cases[i].payload);
        if (answer.err.code != ERR_UNAUTHENTICATED) {
            fail_msg("%s", cases[i].name);
        }
    }
    sessions_close(sessions);
}

static void clerks_own_words_mean_nothing_in_it(void **state)
{
    struct stage *stage = *state;
    struct sessions *sessions = open_both(stage);
    const struct answer answer = check(
        stage, sessions, stage->oidc_key, "{\"alg\":\"RS256\",\"kid\":\"k1\",\"cat\":\"other\"}",
        "{\"sub\":\"mch_anna\",\"exp\":4102444800,\"sts\":\"pending\",\"azp\":\"x\"," OF_OIDC "}");
    assert_int_equal(answer.err.code, ERR_NONE);
    sessions_close(sessions);
}

static void it_serves_without_clerk_too(void **state)
{
    static const struct clerk_settings no_clerk = {.clock_skew_s = 5};
    struct stage *stage = *state;
    struct err err = {0};
    struct sessions *sessions = open_sessions(stage, &no_clerk, &stage->oidc, &err);
    assert_non_null(sessions);
    assert_string_equal(sessions_clerk_issuer(sessions), "");
    const struct answer answer =
        check(stage, sessions, stage->oidc_key, HEADER, "{" GOOD "," OF_OIDC "}");
    assert_int_equal(answer.err.code, ERR_NONE);
    sessions_close(sessions);
}

static void half_a_configuration_is_refused(void **state)
{
    static const struct {
        const char *name;
        struct oidc_settings oidc;
    } cases[] = {
        {"no key set", {.issuer = OIDC, .audience = AUDIENCE}},
        {"no audience", {.issuer = OIDC, .jwks_url = "https://id.example/keys"}},
        {"no issuer", {.jwks_url = "https://id.example/keys", .audience = AUDIENCE}},
        {"no TLS", {.issuer = OIDC, .jwks_url = "http://id.example/keys", .audience = AUDIENCE}},
        {"Clerk's", {.issuer = CLERK, .jwks_url = "https://id.example/keys", .audience = AUDIENCE}},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        if (open_sessions(stage, &stage->clerk, &cases[i].oidc, &err) != NULL) {
            fail_msg("%s", cases[i].name);
        }
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, "AUTH_"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_issuers_tokens_are_verified_by_its_own_keys),
        cmocka_unit_test(an_access_token_is_the_other_issuers_alone),
        cmocka_unit_test(what_is_not_meant_for_us_is_refused),
        cmocka_unit_test(clerks_own_words_mean_nothing_in_it),
        cmocka_unit_test(it_serves_without_clerk_too),
        cmocka_unit_test(half_a_configuration_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
