/* auth-service/users: from a session token to the user, against a real PostgreSQL. */
#include "auth-service/users/revoked_sessions.h"
#include "auth-service/users/session.h"
#include "common/base/clock.h"
#include "tests/unit/auth-service/accounts.h"
#include "tests/unit/auth-service/mint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER "{\"alg\":\"RS256\"}"
#define ISSUER "https://issuer.example"

enum { AT_A_TIME = 20, PAYLOAD_SIZE = 256, A_SECOND_MS = 1000 };
static const long long never = 4102444800; /* 2100 */

static struct mint_key *key;

struct answer {
    bool done;
    int calls;
    struct user user;
    char session_id[64];
    int64_t expires_at_ms;
    int64_t token_expires_at_ms;
    struct err err;
};

static int set_up(void **state)
{
    key = mint_key_new(2048);
    return accounts_set_up(state);
}

static int tear_down(void **state)
{
    mint_key_free(key);
    return accounts_tear_down(state);
}

static void on_checked(const struct session *session, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    assert_true((session == NULL) == (err != NULL));
    if (session != NULL) {
        answer->user = *session->user;
        answer->expires_at_ms = session->expires_at_ms;
        answer->token_expires_at_ms = session->token_expires_at_ms;
        assert_true(
            view_copy(view_of(session->session_id), answer->session_id, sizeof answer->session_id));
    } else if (err != NULL) {
        answer->err = *err;
    }
}

static struct sessions *open_sessions(struct accounts *accounts, struct clerk_settings *settings)
{
    struct err err = {0};
    const struct sessions_options options = accounts_session_options(accounts, settings);
    struct sessions *sessions = sessions_open(&options, &err);
    if (sessions == NULL) {
        fail_msg("%s", err.message);
    }
    return sessions;
}

static struct sessions *open_with_pem(struct accounts *accounts, struct clerk_settings *settings)
{
    *settings = (struct clerk_settings){.issuer = ISSUER, .clock_skew_s = 5};
    mint_pem(key, settings->jwt_key);
    return open_sessions(accounts, settings);
}

static void make_token(const char *subject, long long expires_at, char token[MINT_TOKEN_SIZE])
{
    char payload[PAYLOAD_SIZE];
    (void)snprintf(payload, sizeof payload,
                   "{\"sub\":\"%s\",\"sid\":\"sess_%s\",\"iss\":\"" ISSUER "\",\"exp\":%lld}",
                   subject, subject, expires_at);
    mint_token(key, HEADER, payload, token);
}

static void begin(struct sessions *sessions, const char *token, struct answer *answer)
{
    *answer = (struct answer){0};
    if (!session_check(sessions, view_of(token), &trace_none, ACCOUNTS_TIMEOUT_MS, on_checked,
                       answer, &answer->err)) {
        answer->done = true;
    }
}

static void check(struct accounts *accounts, struct sessions *sessions, const char *token,
                  struct answer *answer)
{
    begin(sessions, token, answer);
    turn_until(accounts->loop, &answer->done);
}

static void the_first_sight_makes_the_user_and_the_next_finds_it(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer first;
    struct answer second;
    char token[MINT_TOKEN_SIZE];
    make_token("user_first", never, token);
    check(accounts, sessions, token, &first);
    check(accounts, sessions, token, &second);
    assert_int_equal(first.err.code, ERR_NONE);
    assert_true(first.user.is_new && !second.user.is_new);
    assert_string_equal(first.user.id, second.user.id);
    assert_string_equal(first.user.tier, "free");
    assert_false(first.user.is_admin);
    assert_string_equal(first.session_id, "sess_user_first");
    assert_int_equal(first.expires_at_ms, never * 1000);
    postgres_run(accounts->postgres, "UPDATE users SET role = 'admin' WHERE id IN (SELECT user_id"
                                     " FROM identities WHERE issuer = '" ISSUER "')");
    check(accounts, sessions, token, &second);
    assert_true(second.user.is_admin);

    struct user local; /* the same subject of another issuer is somebody else */
    accounts_user(accounts, "user_first", &local);
    assert_string_not_equal(local.id, first.user.id);
    sessions_close(sessions);
}

static void many_first_sights_at_once_make_one_user(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answers[AT_A_TIME];
    char token[MINT_TOKEN_SIZE];
    int made = 0;
    make_token("user_race", never, token);
    for (int i = 0; i < AT_A_TIME; i++) {
        begin(sessions, token, &answers[i]);
    }
    for (int i = 0; i < AT_A_TIME; i++) {
        turn_until(accounts->loop, &answers[i].done);
        assert_int_equal(answers[i].calls, 1);
        assert_int_equal(answers[i].err.code, ERR_NONE);
        assert_string_equal(answers[i].user.id, answers[0].user.id);
        made += answers[i].user.is_new ? 1 : 0;
    }
    assert_int_equal(made, 1);
    /* Divides by zero, which fails the test, when a user was left without an identity. */
    postgres_run(accounts->postgres,
                 "SELECT 1 / (count(*) = 0)::int FROM users WHERE id NOT IN (SELECT user_id FROM "
                 "identities)");
    sessions_close(sessions);
}

static void a_refusal_tells_no_more_than_that_a_new_token_is_due(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    char token[MINT_TOKEN_SIZE];
    make_token("user_late", 1, token);
    check(accounts, sessions, token, &answer);
    assert_int_equal(answer.err.code, ERR_UNAUTHENTICATED);
    assert_string_equal(answer.err.reason, "token_expired");
    check(accounts, sessions, "a.b.c", &answer);
    assert_string_equal(answer.err.reason, "invalid_session");
    make_token("mch_machine", never, token);
    check(accounts, sessions, token, &answer);
    assert_string_equal(answer.err.reason, "invalid_session");
    assert_string_equal(answer.err.message, "Invalid or expired session");
    sessions_close(sessions);
}

static void a_suspended_user_is_told_so(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    char token[MINT_TOKEN_SIZE];
    char sql[PAYLOAD_SIZE];
    make_token("user_suspended", never, token);
    check(accounts, sessions, token, &answer);
    (void)snprintf(sql, sizeof sql, "UPDATE users SET suspended_at = now() WHERE id = '%s'",
                   answer.user.id);
    postgres_run(accounts->postgres, sql);
    check(accounts, sessions, token, &answer);
    assert_int_equal(answer.err.code, ERR_DENIED);
    assert_string_equal(answer.err.reason, "account_suspended");
    sessions_close(sessions);
}

static void on_denied(const redisReply *reply, const struct err *err, void *arg)
{
    bool *done = arg;
    (void)reply;
    assert_null(err);
    *done = true;
}

static void a_revoked_session_is_refused_though_its_token_is_good(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    struct err err = {0};
    bool done = false;
    char revoked[MINT_TOKEN_SIZE];
    char other[MINT_TOKEN_SIZE];
    make_token("user_revoked", never, revoked);
    make_token("user_other", never, other);
    check(accounts, sessions, revoked, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_true(revoked_sessions_add(accounts->redis, ACCOUNTS_INSTANCE, "sess_user_revoked",
                                     ACCOUNTS_TIMEOUT_MS, on_denied, &done, &err));
    turn_until(accounts->loop, &done);
    check(accounts, sessions, revoked, &answer);
    assert_string_equal(answer.err.reason, "invalid_session");
    check(accounts, sessions, other, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    sessions_close(sessions);
}

static bool redis_went(void *arg)
{
    const struct accounts *accounts = arg;
    return !redis_is_up(accounts->redis);
}

static bool redis_came(void *arg)
{
    return !redis_went(arg);
}

static void without_redis_who_is_in_stays_and_nobody_else_comes(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    char token[MINT_TOKEN_SIZE];
    char late[MINT_TOKEN_SIZE];
    make_token("user_outage", never, token);
    make_token("user_late", never, late);
    check(accounts, sessions, token, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    redis_server_kill(accounts->redis_server);
    turn_until_true(accounts->loop, redis_went, accounts);
    check(accounts, sessions, token, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_true(answer.expires_at_ms <= clock_wall_ms() + A_SECOND_MS); /* nobody keeps it */
    check(accounts, sessions, late, &answer);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_string_equal(answer.err.reason, "rate_limit_unavailable");
    redis_server_start_again(accounts->redis_server);
    turn_until_true(accounts->loop, redis_came, accounts);
    check(accounts, sessions, late, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    sessions_close(sessions);
}

static void a_session_that_ended_stays_so_without_redis(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    char token[MINT_TOKEN_SIZE];
    make_token("user_ended", never, token);
    check(accounts, sessions, token, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    postgres_run(accounts->postgres, "SELECT session_end('sess_user_ended')");
    check(accounts, sessions, token, &answer);
    assert_string_equal(answer.err.reason, "invalid_session");
    redis_server_kill(accounts->redis_server);
    turn_until_true(accounts->loop, redis_went, accounts);
    check(accounts, sessions, token, &answer);
    assert_string_equal(answer.err.reason, "invalid_session");
    redis_server_start_again(accounts->redis_server);
    turn_until_true(accounts->loop, redis_came, accounts);
    sessions_close(sessions);
}

/* The connection stands, as when this process or Redis had stopped for a while. */
static void whom_redis_says_nothing_of_is_not_believed_for_long(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    char token[MINT_TOKEN_SIZE];
    make_token("user_unsure", never, token);
    check(accounts, sessions, token, &answer);
    assert_int_equal(answer.expires_at_ms, never * A_SECOND_MS);
    assert_int_equal(kill(redis_server_pid(accounts->redis_server), SIGSTOP), 0);
    check(accounts, sessions, token, &answer);
    assert_int_equal(kill(redis_server_pid(accounts->redis_server), SIGCONT), 0);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_true(answer.expires_at_ms <= clock_wall_ms() + A_SECOND_MS);
    assert_int_equal(answer.token_expires_at_ms, never * A_SECOND_MS);
    sessions_close(sessions);
}

static void a_deleted_user_does_not_come_back(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    char token[MINT_TOKEN_SIZE];
    char sql[PAYLOAD_SIZE];
    make_token("user_deleted", never, token);
    check(accounts, sessions, token, &answer);
    (void)snprintf(sql, sizeof sql, "SELECT user_delete('%s')", answer.user.id);
    postgres_run(accounts->postgres, sql);
    check(accounts, sessions, token, &answer);
    assert_string_equal(answer.err.reason, "invalid_session");
    sessions_close(sessions);
}

/* What waits for a store when everything closes still ends, and once. */
static void a_check_under_way_at_the_end_is_answered(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings;
    struct sessions *sessions = open_with_pem(accounts, &settings);
    struct answer answer;
    char token[MINT_TOKEN_SIZE];
    make_token("user_at_the_end", never, token);
    begin(sessions, token, &answer);
    sessions_stop(sessions);
    turn_until(accounts->loop, &answer.done);
    assert_int_equal(answer.calls, 1);
    sessions_close(sessions);
}

static void without_settings_it_says_what_to_set(void **state)
{
    struct accounts *accounts = *state;
    static struct clerk_settings settings;
    struct sessions *sessions = open_sessions(accounts, &settings);
    struct answer answer;
    check(accounts, sessions, "a.b.c", &answer);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_string_equal(answer.err.reason, "clerk_not_configured");
    assert_non_null(strstr(answer.err.message, "CLERK_PUBLISHABLE_KEY"));
    sessions_close(sessions);
}

static void half_a_configuration_is_refused(void **state)
{
    struct accounts *accounts = *state;
    struct clerk_settings settings = {.issuer = ISSUER, .jwt_key = "nonsense"};
    struct err err = {0};
    const struct sessions_options options = accounts_session_options(accounts, &settings);
    assert_null(sessions_open(&options, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.message, "CLERK_JWT_KEY"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_sight_makes_the_user_and_the_next_finds_it),
        cmocka_unit_test(many_first_sights_at_once_make_one_user),
        cmocka_unit_test(a_refusal_tells_no_more_than_that_a_new_token_is_due),
        cmocka_unit_test(a_suspended_user_is_told_so),
        cmocka_unit_test(a_revoked_session_is_refused_though_its_token_is_good),
        cmocka_unit_test(without_redis_who_is_in_stays_and_nobody_else_comes),
        cmocka_unit_test(a_session_that_ended_stays_so_without_redis),
        cmocka_unit_test(whom_redis_says_nothing_of_is_not_believed_for_long),
        cmocka_unit_test(a_deleted_user_does_not_come_back),
        cmocka_unit_test(a_check_under_way_at_the_end_is_answered),
        cmocka_unit_test(without_settings_it_says_what_to_set),
        cmocka_unit_test(half_a_configuration_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
