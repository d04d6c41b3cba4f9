/* auth-service/api_keys: issuing and checking keys against a real PostgreSQL and Redis. */
#include "common/base/encode.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SQL_SIZE = 256,
    CHECKS = 4 * ACCOUNTS_BCRYPT_QUEUE,
};

static void assert_serves(struct accounts *accounts, const char *key)
{
    struct accounts_check check;
    accounts_check(accounts, key, &check);
    if (check.err.code != ERR_NONE) {
        fail_msg("%s", check.err.message);
    }
    assert_int_equal(check.calls, 1);
}

static void assert_refused(struct accounts *accounts, const char *key)
{
    struct accounts_check check;
    accounts_check(accounts, key, &check);
    assert_int_equal(check.err.code, ERR_UNAUTHENTICATED);
    assert_string_equal(check.err.reason, "invalid_api_key");
}

static void change(struct accounts *accounts, const char *format, const char *id)
{
    char sql[SQL_SIZE];
    struct str text = STR_INIT(SQL_SIZE - 1);
    struct err err = {0};
    str_append_string(&text, format);
    str_appendf(&text, " = '%s'", id);
    assert_true(str_check(&text, "sql", &err) && view_copy(str_view(&text), sql, sizeof sql));
    postgres_run(accounts->postgres, sql);
    str_free(&text);
}

static void issue_for(struct accounts *accounts, const char *subject, struct user *user,
                      struct issued_key *issued)
{
    accounts_user(accounts, subject, user);
    accounts_issue(accounts, user->id, issued);
}

static void an_issued_key_serves_and_says_whose_it_is(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    struct accounts_check check;
    issue_for(accounts, "whose", &user, &issued);
    assert_memory_equal(issued.prefix, issued.key, 12);
    accounts_check(accounts, issued.key, &check);
    assert_int_equal(check.err.code, ERR_NONE);
    assert_string_equal(check.row.user_id, user.id);
    assert_string_equal(check.row.id, issued.made.id);
    assert_string_equal(check.row.tier, "free");
    assert_int_equal(check.row.expires_at_ms, 0);
    assert_int_equal(check.row.scopes, AUTH_SCOPES_DEFAULT);
    assert_int_equal(check.row.max_sandboxes, 0);
    assert_int_equal(check.row.requests_per_minute, 0);

    char other_prefix[API_KEY_SIZE];
    (void)snprintf(other_prefix, sizeof other_prefix, "e2b_%.64s", issued.key + 4);
    assert_serves(accounts, other_prefix);
}

static void what_is_no_issued_key_is_refused(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    issue_for(accounts, "refused", &user, &issued);
    char key[API_KEY_SIZE + 1];
    memcpy(key, issued.key, API_KEY_SIZE);
    key[API_KEY_LEN - 1] = key[API_KEY_LEN - 1] == 'a' ? 'b' : 'a';
    assert_refused(accounts, key); /* right in its prefix */
    memcpy(key, issued.key, API_KEY_SIZE);
    key[API_KEY_LEN] = '0';
    key[API_KEY_LEN + 1] = '\0';
    assert_refused(accounts, key); /* right in its first 68 bytes */
    assert_refused(accounts, "");
    assert_refused(accounts, "isk_");
}

static void a_key_that_ended_is_refused_though_it_was_remembered(void **state)
{
    static const char *const ends[] = {
        "UPDATE api_keys SET revoked_at = now() WHERE id",
        "UPDATE api_keys SET expires_at = now() WHERE id",
        "DELETE FROM api_keys WHERE id",
    };
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        issue_for(accounts, "ends", &user, &issued);
        assert_serves(accounts, issued.key);
        change(accounts, ends[i], issued.made.id);
        assert_refused(accounts, issued.key);
    }
}

static void assert_suspended(struct accounts *accounts, const char *key)
{
    struct accounts_check check;
    accounts_check(accounts, key, &check);
    assert_int_equal(check.err.code, ERR_DENIED);
    assert_string_equal(check.err.reason, "account_suspended");
}

/* Whoever has the whole key, and nobody else, hears of it, whether it was proven before or not. */
static void a_suspended_user_is_told_so_and_the_keys_serve_again_behind_it(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    char wrong[API_KEY_SIZE];
    issue_for(accounts, "suspended", &user, &issued);
    assert_serves(accounts, issued.key);
    change(accounts, "UPDATE users SET suspended_at = now() WHERE id", user.id);
    assert_suspended(accounts, issued.key);
    accounts_forget_proofs(accounts);
    assert_suspended(accounts, issued.key);
    memcpy(wrong, issued.key, sizeof wrong);
    wrong[API_KEY_LEN - 1] = wrong[API_KEY_LEN - 1] == '0' ? '1' : '0';
    assert_refused(accounts, wrong);
    change(accounts, "UPDATE users SET suspended_at = NULL WHERE id", user.id);
    assert_serves(accounts, issued.key);
    change(accounts, "UPDATE users SET suspended_at = now() WHERE id", user.id);
    change(accounts, "UPDATE api_keys SET revoked_at = now() WHERE id", issued.made.id);
    assert_refused(accounts, issued.key);
}

static void a_row_whose_hash_is_of_another_key_serves_nobody(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    struct issued_key other;
    issue_for(accounts, "mismatch", &user, &issued);
    accounts_issue(accounts, user.id, &other);
    change(accounts,
           "UPDATE api_keys SET bcrypt = (SELECT bcrypt FROM api_keys k WHERE k.id <> api_keys.id"
           " AND k.user_id = api_keys.user_id) WHERE id",
           issued.made.id);
    assert_refused(accounts, issued.key);
    assert_refused(accounts, issued.key);
    assert_serves(accounts, other.key);
}

/* The row's hash is spoilt after the first check: what goes on serving does so by what is
 * remembered, and nothing else. */
static void a_proof_is_remembered_in_memory_and_in_redis(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    issue_for(accounts, "remembered", &user, &issued);
    assert_serves(accounts, issued.key);
    change(accounts, "UPDATE api_keys SET bcrypt = '$2b$10$' WHERE id", issued.made.id);
    assert_serves(accounts, issued.key);
    accounts_forget_proofs(accounts);
    assert_serves(accounts, issued.key);
    accounts_forget_proofs(accounts);
    redis_server_run(accounts->redis_server, "FLUSHALL");
    assert_refused(accounts, issued.key);
}

static void a_forged_memory_in_redis_is_worth_nothing(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    char command[SQL_SIZE];
    uint8_t hmac[API_KEY_HASH_LEN];
    char hex[API_KEY_HASH_HEX_SIZE];
    struct err err = {0};
    issue_for(accounts, "forged", &user, &issued);
    assert_true(api_key_hmac(VIEW(ACCOUNTS_SECRET), issued.key, hmac, &err));
    encode_hex(hmac, sizeof hmac, hex);
    (void)snprintf(command, sizeof command, "SET insien:%s:keycheck:%s %s", ACCOUNTS_INSTANCE, hex,
                   user.id);
    redis_server_run(accounts->redis_server, command);
    change(accounts, "UPDATE api_keys SET bcrypt = '$2b$10$' WHERE id", issued.made.id);
    assert_refused(accounts, issued.key);
}

/* More checks than the workers and their queue have room for. */
static void many_checks_of_one_key_are_one_bcrypt(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    struct accounts_check *checks = calloc(CHECKS, sizeof *checks);
    assert_non_null(checks);
    issue_for(accounts, "many", &user, &issued);
    for (int i = 0; i < CHECKS; i++) {
        accounts_check_begin(accounts, issued.key, &checks[i]);
    }
    for (int i = 0; i < CHECKS; i++) {
        turn_until(accounts->loop, &checks[i].done);
        assert_int_equal(checks[i].err.code, ERR_NONE);
        assert_int_equal(checks[i].calls, 1);
    }
    free(checks);
}

static void without_redis_keys_go_on_serving(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    issue_for(accounts, "no redis", &user, &issued);
    redis_server_kill(accounts->redis_server);
    assert_serves(accounts, issued.key);
    assert_serves(accounts, issued.key);
    redis_server_start_again(accounts->redis_server);
}

static bool is_marked_used(void *arg)
{
    struct accounts *accounts = ((void **)arg)[0];
    const char *key = ((void **)arg)[1];
    struct accounts_check check;
    accounts_check(accounts, key, &check);
    return check.err.code == ERR_NONE && !check.row.use_is_stale;
}

static void the_last_use_is_written_behind(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    struct accounts_check check;
    issue_for(accounts, "last use", &user, &issued);
    accounts_check(accounts, issued.key, &check);
    assert_true(check.row.use_is_stale);
    void *arg[] = {accounts, issued.key};
    turn_until_true(accounts->loop, is_marked_used, arg);
    change(accounts, "UPDATE api_keys SET last_used_at = now() - interval '61 seconds' WHERE id",
           issued.made.id);
    accounts_check(accounts, issued.key, &check);
    assert_true(check.row.use_is_stale);
    turn_until_true(accounts->loop, is_marked_used, arg);
}

static void on_marked(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    if (err != NULL) {
        fail_msg("%s", err->message);
    }
    *(bool *)arg = true;
}

/* Of two that wait for what the other holds one would be ended by the database. */
static void a_last_use_waits_for_nobody_who_changes_keys(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key held;
    struct issued_key other;
    struct accounts_check check;
    struct err err = {0};
    char ids[2 * ID_SIZE + 2];
    char sql[SQL_SIZE];
    bool done = false;
    issue_for(accounts, "two last uses", &user, &held);
    accounts_issue(accounts, user.id, &other);
    (void)snprintf(ids, sizeof ids, "{%s,%s}", held.made.id, other.made.id);
    (void)snprintf(sql, sizeof sql, "BEGIN; UPDATE api_keys SET revoked_at = now() WHERE id = '%s'",
                   held.made.id);
    PGconn *owner = PQconnectdb(postgres_url(accounts->postgres));
    PQclear(PQexec(owner, sql));
    assert_int_equal(PQtransactionStatus(owner), PQTRANS_INTRANS);
    assert_true(
        api_key_mark_used(accounts->pg, ids, ACCOUNTS_TIMEOUT_MS / 30, on_marked, &done, &err));
    turn_until(accounts->loop, &done);
    PQclear(PQexec(owner, "ROLLBACK"));
    PQfinish(owner);
    accounts_check(accounts, other.key, &check);
    assert_false(check.row.use_is_stale);
}

static void a_life_out_of_bounds_and_a_name_too_long_are_refused(void **state)
{
    char long_name[API_KEY_NAME_MAX + 1];
    (void)state;
    memset(long_name, 'x', sizeof long_name);
    const struct key_order orders[] = {
        {.user_id = "", .expires_in_days = -1},
        {.user_id = "", .expires_in_days = API_KEY_DAYS_MAX + 1},
        {.user_id = "", .name = {long_name, sizeof long_name}},
    };
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        struct err err = {0};
        assert_false(key_issue(&orders[i], NULL, NULL, &err));
        assert_string_equal(err.reason, "validation_failed");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_issued_key_serves_and_says_whose_it_is),
        cmocka_unit_test(what_is_no_issued_key_is_refused),
        cmocka_unit_test(a_key_that_ended_is_refused_though_it_was_remembered),
        cmocka_unit_test(a_suspended_user_is_told_so_and_the_keys_serve_again_behind_it),
        cmocka_unit_test(a_row_whose_hash_is_of_another_key_serves_nobody),
        cmocka_unit_test(a_proof_is_remembered_in_memory_and_in_redis),
        cmocka_unit_test(a_forged_memory_in_redis_is_worth_nothing),
        cmocka_unit_test(many_checks_of_one_key_are_one_bcrypt),
        cmocka_unit_test(the_last_use_is_written_behind),
        cmocka_unit_test(a_last_use_waits_for_nobody_who_changes_keys),
        cmocka_unit_test(a_life_out_of_bounds_and_a_name_too_long_are_refused),
        cmocka_unit_test(without_redis_keys_go_on_serving),
    };
    return cmocka_run_group_tests(tests, accounts_set_up, accounts_tear_down);
}
