/* What client tokens hang on, against a real PostgreSQL. */
#include "auth-service/tokens/store.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

enum { SQL_SIZE = 256 };

struct answer {
    bool done;
    bool serves;
    struct token_maker_row row;
    char key_limits[AUTH_KEY_LIMITS_SIZE];
};

static void on_maker(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    assert_null(err);
    answer->serves = token_maker_read(result, &answer->row);
    if (answer->serves) {
        assert_true(view_copy(view_of(answer->row.key_limits), answer->key_limits,
                              sizeof answer->key_limits));
    }
    answer->done = true;
}

static struct answer ask(struct accounts *accounts, const struct token_maker *maker)
{
    struct answer answer = {.done = false};
    struct err err = {0};
    assert_true(
        token_maker_find(accounts->pg, maker, ACCOUNTS_TIMEOUT_MS, on_maker, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    return answer;
}

static bool serves(struct accounts *accounts, const char *user_id, const char *key_id,
                   const char *session_id)
{
    const struct token_maker maker = {user_id, key_id, session_id, ""};
    return ask(accounts, &maker).serves;
}

static void run_sql(struct accounts *accounts, const char *before, const char *id)
{
    char sql[SQL_SIZE];
    (void)snprintf(sql, sizeof sql, "%s '%s'", before, id);
    postgres_run(accounts->postgres, sql);
}

static void a_session_makes_what_is_for_a_sandbox(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    accounts_user(accounts, "session", &user);
    const struct token_maker maker = {user.id, "", "sess_1", "2100-01-01T00:00:00.000Z"};
    const struct answer answer = ask(accounts, &maker);
    assert_true(answer.serves);
    assert_int_equal(answer.row.scopes, AUTH_SCOPES_CLIENT);
    assert_int_equal(answer.row.requests_per_minute, 0);
    assert_int_equal(answer.row.ends_at_ms, 4102444800000);
    assert_string_equal(answer.row.tier, "free");
    assert_string_equal(answer.key_limits, "");
}

static void a_key_gives_no_more_than_it_has(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    char limits[AUTH_KEY_LIMITS_SIZE];
    accounts_user(accounts, "key", &user);
    const struct key_order order = {.user_id = user.id,
                                    .scopes = AUTH_EXEC | AUTH_KEYS,
                                    .requests_per_minute = 60,
                                    .expires_in_days = 1};
    accounts_issue_as(accounts, &order, &issued);
    const struct token_maker late = {user.id, issued.made.id, "", "2100-01-01T00:00:00.000Z"};
    const struct answer answer = ask(accounts, &late);
    assert_int_equal(answer.row.scopes, AUTH_EXEC);
    assert_int_equal(answer.row.requests_per_minute, 60);
    (void)snprintf(limits, sizeof limits, "%s:60", issued.made.id);
    assert_string_equal(answer.key_limits, limits);
    assert_true(answer.row.ends_at_ms > 0 && answer.row.ends_at_ms < 4102444800000);
    const struct token_maker soon = {user.id, issued.made.id, "", "2001-09-09T01:46:40.000Z"};
    assert_int_equal(ask(accounts, &soon).row.ends_at_ms, 1000000000000);
}

static void a_key_that_ended_makes_none(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct user other;
    struct issued_key keys[2];
    accounts_user(accounts, "ended", &user);
    accounts_user(accounts, "other", &other);
    accounts_issue(accounts, user.id, &keys[0]);
    accounts_issue(accounts, user.id, &keys[1]);
    assert_true(serves(accounts, user.id, keys[0].made.id, ""));
    assert_false(serves(accounts, other.id, keys[0].made.id, ""));
    run_sql(accounts, "UPDATE api_keys SET revoked_at = now() WHERE id =", keys[0].made.id);
    run_sql(accounts, "UPDATE api_keys SET expires_at = now() WHERE id =", keys[1].made.id);
    assert_false(serves(accounts, user.id, keys[0].made.id, ""));
    assert_false(serves(accounts, user.id, keys[1].made.id, ""));
    assert_true(serves(accounts, user.id, "", ""));
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    assert_null(err);
    *(bool *)arg = true;
}

static void end_session(struct accounts *accounts, const char *session_id)
{
    bool done = false;
    struct err err = {0};
    assert_true(token_maker_end_session(accounts->pg, session_id, ACCOUNTS_TIMEOUT_MS, on_ended,
                                        &done, &err));
    turn_until(accounts->loop, &done);
}

static void a_session_that_ended_makes_none_and_stays_ended(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    accounts_user(accounts, "sessions", &user);
    accounts_issue(accounts, user.id, &issued);
    assert_true(serves(accounts, user.id, "", "sess_over"));
    end_session(accounts, "sess_over");
    end_session(accounts, "sess_over");
    assert_false(serves(accounts, user.id, "", "sess_over"));
    assert_true(serves(accounts, user.id, "", "sess_on"));
    assert_true(serves(accounts, user.id, issued.made.id, ""));
    postgres_run(accounts->postgres, "UPDATE ended_sessions SET ended_at = now() - interval '2 h'");
    end_session(accounts, "sess_later");
    assert_false(serves(accounts, user.id, "", "sess_over"));
    postgres_run(accounts->postgres, "UPDATE ended_sessions SET ended_at = now() - interval '2 d'");
    end_session(accounts, "sess_last");
    assert_true(serves(accounts, user.id, "", "sess_over")); /* nothing of it lives any more */
}

static void a_suspended_user_is_told_apart_and_a_deleted_one_is_gone(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    accounts_user(accounts, "suspended", &user);
    const struct token_maker maker = {user.id, "", "", ""};
    assert_false(ask(accounts, &maker).row.is_suspended);
    run_sql(accounts, "UPDATE users SET suspended_at = now() WHERE id =", user.id);
    assert_true(ask(accounts, &maker).row.is_suspended);
    run_sql(accounts, "UPDATE users SET deleted_at = now() WHERE id =", user.id);
    assert_false(ask(accounts, &maker).serves);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_makes_what_is_for_a_sandbox),
        cmocka_unit_test(a_key_gives_no_more_than_it_has),
        cmocka_unit_test(a_key_that_ended_makes_none),
        cmocka_unit_test(a_session_that_ended_makes_none_and_stays_ended),
        cmocka_unit_test(a_suspended_user_is_told_apart_and_a_deleted_one_is_gone),
    };
    return cmocka_run_group_tests(tests, accounts_set_up, accounts_tear_down);
}
