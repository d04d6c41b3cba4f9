/* auth-service/users/admin_store.c and what administrators do with keys, against a real PostgreSQL.
 */
#include "auth-service/users/admin_store.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { SQL_SIZE = 512, TEXT_MAX = 64 * 1024, USERS_OF_A_TIME = 5 };

static const char unknown_id[ID_SIZE] = "00000000-0000-4000-8000-000000000000";

/* What came of a question: the text of what it answered. */
struct answer {
    struct str text;
    struct position last; /* of a list with more behind it */
    int rows;
    int limit; /* of a list */
    bool suspended;
    bool done;
    struct err err;
};

static struct answer new_answer(void)
{
    return (struct answer){.text = STR_INIT(TEXT_MAX)};
}

/* sql ends in the name of a column. */
static void run_sql(struct accounts *accounts, const char *sql, const char *id)
{
    char text[SQL_SIZE];
    (void)snprintf(text, sizeof text, "%s = '%s'", sql, id);
    postgres_run(accounts->postgres, text);
}

static void make_admin(struct accounts *accounts, struct user *user)
{
    accounts_user(accounts, "admin", user);
    run_sql(accounts, "UPDATE users SET role = 'admin', suspended_at = NULL WHERE id", user->id);
}

static bool failed(struct answer *answer, const struct err *err)
{
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    }
    return err != NULL;
}

static void on_changed(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    if (!failed(answer, err)) {
        admin_user_read(result, &answer->text);
        answer->suspended = admin_user_is_suspended(result);
    }
}

static struct answer change(struct accounts *accounts, const struct admin_change_user *wanted)
{
    struct answer answer = new_answer();
    struct err err = {0};
    assert_true(
        admin_change_user(accounts->pg, wanted, ACCOUNTS_TIMEOUT_MS, on_changed, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    return answer;
}

static void expect_words(struct answer *answer, const char *words)
{
    assert_int_equal(answer->err.code, ERR_NONE);
    if (strstr(answer->text.data, words) == NULL) {
        fail_msg("no %s in %s", words, answer->text.data);
    }
    str_free(&answer->text);
}

static void expect_refusal(struct answer *answer, enum err_code code, const char *reason)
{
    assert_int_equal(answer->err.code, code);
    assert_string_equal(answer->err.reason, reason);
    str_free(&answer->text);
}

static struct admin_change_user change_of(const struct user *admin, const char *user_id)
{
    struct admin_change_user wanted = {0};
    memcpy(wanted.admin_id, admin->id, ID_SIZE);
    memcpy(wanted.user_id, user_id, ID_SIZE);
    return wanted;
}

static void a_tier_and_a_suspension_are_set_and_ended(void **state)
{
    struct accounts *accounts = *state;
    struct user admin;
    struct user user;
    make_admin(accounts, &admin);
    accounts_user(accounts, "changed", &user);
    struct admin_change_user wanted = change_of(&admin, user.id);
    wanted.tier = VIEW("pro");
    struct answer answer = change(accounts, &wanted);
    assert_false(answer.suspended);
    expect_words(&answer, "\"tier\":\"pro\",\"role\":\"user\",\"status\":\"active\"");

    wanted = change_of(&admin, user.id);
    wanted.sets_suspended = wanted.suspended = true;
    wanted.reason = VIEW("spam");
    answer = change(accounts, &wanted);
    assert_true(answer.suspended);
    expect_words(&answer, "\"suspendedReason\":\"spam\"");
    wanted.reason = VIEW(""); /* again: as it was */
    answer = change(accounts, &wanted);
    expect_words(&answer, "\"suspendedReason\":\"spam\"");

    wanted.suspended = false;
    answer = change(accounts, &wanted);
    assert_false(answer.suspended);
    expect_words(&answer, "\"suspendedAt\":null,\"suspendedReason\":null");
}

static void whom_it_can_not_be_done_to(void **state)
{
    struct accounts *accounts = *state;
    struct user admin;
    struct user user;
    make_admin(accounts, &admin);
    accounts_user(accounts, "leaves", &user);
    struct admin_change_user wanted = change_of(&admin, unknown_id);
    wanted.sets_suspended = wanted.suspended = true;
    struct answer answer = change(accounts, &wanted);
    expect_refusal(&answer, ERR_NOT_FOUND, "account_not_found");
    memcpy(wanted.user_id, admin.id, ID_SIZE);
    answer = change(accounts, &wanted);
    expect_refusal(&answer, ERR_CONFLICT, "own_account");
    run_sql(accounts, "SELECT user_delete(id) FROM users WHERE id", user.id);
    memcpy(wanted.user_id, user.id, ID_SIZE);
    answer = change(accounts, &wanted);
    expect_refusal(&answer, ERR_CONFLICT, "account_deleted");
}

static void expect_not_admin(struct accounts *accounts, const struct admin_change_user *wanted)
{
    struct answer answer = change(accounts, wanted);
    expect_refusal(&answer, ERR_DENIED, "not_admin");
}

/* Whatever a gateway thinks: the row decides. */
static void only_who_administers_now_may(void **state)
{
    struct accounts *accounts = *state;
    struct user admin;
    struct user user;
    struct issued_key issued;
    make_admin(accounts, &admin);
    accounts_user(accounts, "meant", &user);
    accounts_issue(accounts, admin.id, &issued);
    struct admin_change_user wanted = change_of(&user, admin.id);
    wanted.sets_suspended = wanted.suspended = true;
    expect_not_admin(accounts, &wanted);

    wanted = change_of(&admin, user.id);
    wanted.tier = VIEW("pro");
    memcpy(wanted.admin_key_id, issued.made.id, ID_SIZE);
    expect_not_admin(accounts, &wanted); /* the key has all scopes but that */
    run_sql(accounts, "UPDATE api_keys SET scopes = 32 WHERE id", issued.made.id);
    struct answer answer = change(accounts, &wanted);
    expect_words(&answer, "\"tier\":\"pro\"");
    run_sql(accounts, "UPDATE api_keys SET revoked_at = now() WHERE id", issued.made.id);
    expect_not_admin(accounts, &wanted);

    wanted.admin_key_id[0] = '\0';
    run_sql(accounts, "UPDATE users SET suspended_at = now() WHERE id", admin.id);
    expect_not_admin(accounts, &wanted);
    run_sql(accounts, "UPDATE users SET suspended_at = NULL, role = 'user' WHERE id", admin.id);
    expect_not_admin(accounts, &wanted);
}

/* Neither waits for the other for ever, and one of them stays. */
static void two_administrators_do_not_suspend_each_other(void **state)
{
    struct accounts *accounts = *state;
    struct user users[2];
    struct answer answers[2];
    struct err err = {0};
    make_admin(accounts, &users[0]);
    accounts_user(accounts, "second", &users[1]);
    run_sql(accounts, "UPDATE users SET role = 'admin' WHERE id", users[1].id);
    for (int i = 0; i < 2; i++) {
        struct admin_change_user wanted = change_of(&users[i], users[1 - i].id);
        wanted.sets_suspended = wanted.suspended = true;
        answers[i] = new_answer();
        assert_true(admin_change_user(accounts->pg, &wanted, ACCOUNTS_TIMEOUT_MS, on_changed,
                                      &answers[i], &err));
    }
    for (int i = 0; i < 2; i++) {
        turn_until(accounts->loop, &answers[i].done);
        str_free(&answers[i].text);
    }
    assert_int_not_equal(answers[0].err.code == ERR_NONE, answers[1].err.code == ERR_NONE);
    assert_string_equal(answers[answers[0].err.code == ERR_NONE ? 1 : 0].err.reason, "not_admin");
}

static void on_users(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    if (failed(answer, err)) {
        return;
    }
    answer->rows = pg_rows(result);
    int count = answer->rows > answer->limit ? answer->limit : answer->rows;
    admin_users_read(result, count, &answer->text);
    if (count > 0) {
        admin_user_position(result, count - 1, &answer->last);
    }
}

static struct answer list(struct accounts *accounts, const struct admin_list_users *wanted)
{
    struct answer answer = new_answer();
    struct err err = {0};
    answer.limit = (int)wanted->limit;
    assert_true(
        admin_list_users(accounts->pg, wanted, ACCOUNTS_TIMEOUT_MS, on_users, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    return answer;
}

static void users_are_found_by_address_tier_and_status(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    accounts_user(accounts, "Found", &user);
    run_sql(accounts,
            "UPDATE users SET email = 'Found@Example.org', tier = 'enterprise',"
            " suspended_at = now() WHERE id",
            user.id);
    struct admin_list_users wanted = {.limit = 10,
                                      .email = VIEW("fOUND@example.ORG"),
                                      .tier = VIEW("enterprise"),
                                      .status = VIEW("suspended")};
    struct answer answer = list(accounts, &wanted);
    assert_int_equal(answer.rows, 1);
    expect_words(&answer, "\"identities\":[{\"issuer\" : \"local\", \"subject\" : \"Found\"}]");
    const struct admin_list_users others[] = {
        {.limit = 10, .email = VIEW("ound@example.org")},
        {.limit = 10, .email = VIEW("found@example.org"), .tier = VIEW("pro")},
        {.limit = 10, .email = VIEW("found@example.org"), .status = VIEW("active")},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        answer = list(accounts, &others[i]);
        assert_int_equal(answer.rows, 0);
        str_free(&answer.text);
    }
}

/* All made in one transaction: of one moment. */
static void pages_go_through_all_users_once(void **state)
{
    struct accounts *accounts = *state;
    struct admin_list_users wanted = {.limit = 2, .tier = VIEW("pro")};
    char cursor[POSITION_CURSOR_SIZE] = "";
    char seen[USERS_OF_A_TIME + 1][ID_SIZE] = {""};
    int count = 0;
    postgres_run(accounts->postgres, "UPDATE users SET tier = 'free';"
                                     "INSERT INTO users (tier) SELECT 'pro' FROM"
                                     " generate_series(1, 5)");
    for (bool more = true; more;) {
        wanted.cursor = view_of(cursor);
        struct answer answer = list(accounts, &wanted);
        more = answer.rows > 2;
        for (const char *at = answer.text.data; (at = strstr(at, "{\"id\":\"")) != NULL; at++) {
            assert_in_range(count, 0, USERS_OF_A_TIME - 1);
            assert_true(id_parse((struct view){at + 7, ID_SIZE - 1}, seen[count++]));
        }
        position_write_cursor(&answer.last, cursor);
        str_free(&answer.text);
    }
    assert_int_equal(count, USERS_OF_A_TIME);
    for (int i = 1; i < count; i++) {
        assert_true(strcmp(seen[i - 1], seen[i]) > 0);
    }
}

static void a_cursor_of_others_making_is_refused(void **state)
{
    struct accounts *accounts = *state;
    const struct admin_list_users wanted = {.limit = 2, .cursor = VIEW("AAAA")};
    struct err err = {0};
    assert_false(
        admin_list_users(accounts->pg, &wanted, ACCOUNTS_TIMEOUT_MS, on_users, NULL, &err));
    assert_string_equal(err.reason, "invalid_cursor");
}

static void on_revoked(const struct err *err, void *arg)
{
    (void)failed(arg, err);
}

static struct answer end_key(struct accounts *accounts, const char *admin_id, const char *id)
{
    struct answer answer = new_answer();
    struct admin_revoke_key wanted = {0};
    struct err err = {0};
    memcpy(wanted.admin_id, admin_id, ID_SIZE);
    memcpy(wanted.id, id, ID_SIZE);
    assert_true(key_revoke_any(&accounts->revoker, &wanted, ACCOUNTS_TIMEOUT_MS, on_revoked,
                               &answer, &err));
    turn_until(accounts->loop, &answer.done);
    return answer;
}

static void whosever_key_is_revoked_with_its_children_also_of_one_who_is_suspended(void **state)
{
    struct accounts *accounts = *state;
    struct user admin;
    struct user user;
    struct issued_key parent;
    struct issued_key child;
    struct accounts_check check;
    make_admin(accounts, &admin);
    accounts_user(accounts, "keys", &user);
    accounts_issue(accounts, user.id, &parent);
    const struct key_order order = {.user_id = user.id, .actor_key_id = parent.made.id};
    accounts_issue_as(accounts, &order, &child);
    struct answer answer = end_key(accounts, user.id, parent.made.id);
    expect_refusal(&answer, ERR_DENIED, "not_admin");
    answer = end_key(accounts, admin.id, unknown_id);
    expect_refusal(&answer, ERR_NOT_FOUND, "api_key_not_found");
    run_sql(accounts, "UPDATE users SET suspended_at = now() WHERE id", user.id);
    for (int i = 0; i < 2; i++) { /* again: the same */
        answer = end_key(accounts, admin.id, parent.made.id);
        assert_int_equal(answer.err.code, ERR_NONE);
        str_free(&answer.text);
    }
    run_sql(accounts, "UPDATE users SET suspended_at = NULL WHERE id", user.id);
    accounts_check(accounts, parent.key, &check);
    assert_string_equal(check.err.reason, "invalid_api_key");
    accounts_check(accounts, child.key, &check);
    assert_string_equal(check.err.reason, "invalid_api_key");
}

static void on_keys(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    if (!failed(answer, err)) {
        answer->rows = pg_rows(result);
        api_key_list_all_read(result, answer->rows, &answer->text);
    }
}

static void keys_of_all_and_of_one_are_listed(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    struct err err = {0};
    struct admin_list_keys wanted = {.limit = 100};
    char words[SQL_SIZE];
    accounts_user(accounts, "listed", &user);
    accounts_issue(accounts, user.id, &issued);
    for (int i = 0; i < 2; i++) { /* all, where it is the newest, and those of the user */
        struct answer answer = new_answer();
        assert_true(
            api_key_list_all(accounts->pg, &wanted, ACCOUNTS_TIMEOUT_MS, on_keys, &answer, &err));
        turn_until(accounts->loop, &answer.done);
        assert_true(i == 0 ? answer.rows >= 1 : answer.rows == 1);
        (void)snprintf(words, sizeof words, "[{\"userId\":\"%s\",\"id\":\"%s\"", user.id,
                       issued.made.id);
        expect_words(&answer, words);
        memcpy(wanted.user_id, user.id, ID_SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tier_and_a_suspension_are_set_and_ended),
        cmocka_unit_test(whom_it_can_not_be_done_to),
        cmocka_unit_test(only_who_administers_now_may),
        cmocka_unit_test(two_administrators_do_not_suspend_each_other),
        cmocka_unit_test(users_are_found_by_address_tier_and_status),
        cmocka_unit_test(pages_go_through_all_users_once),
        cmocka_unit_test(a_cursor_of_others_making_is_refused),
        cmocka_unit_test(whosever_key_is_revoked_with_its_children_also_of_one_who_is_suspended),
        cmocka_unit_test(keys_of_all_and_of_one_are_listed),
    };
    return cmocka_run_group_tests(tests, accounts_set_up, accounts_tear_down);
}
