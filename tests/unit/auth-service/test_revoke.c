/* auth-service/api_keys: revoking keys, and telling the gateways. */
#include "auth-service/api_keys/expiry.h"
#include "tests/unit/auth-service/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { SQL_SIZE = 128, LIST_MAX = 65536 };

static const char unknown_id[ID_SIZE] = "00000000-0000-4000-8000-000000000000";

struct answer {
    bool done;
    int calls;
    struct err err;
};

static void on_revoked(const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    if (err != NULL) {
        answer->err = *err;
    }
}

static void revoke_key(struct accounts *accounts, const char id[ID_SIZE],
                       const char user_id[ID_SIZE], struct answer *answer)
{
    struct err err = {0};
    const struct api_key_actor actor = {user_id, ""};
    *answer = (struct answer){0};
    assert_true(
        key_revoke(&accounts->revoker, id, &actor, ACCOUNTS_TIMEOUT_MS, on_revoked, answer, &err));
    assert_false(answer->done);
    turn_until(accounts->loop, &answer->done);
    assert_int_equal(answer->calls, 1);
}

static void assert_serves(struct accounts *accounts, const char *key, bool expected)
{
    struct accounts_check check;
    accounts_check(accounts, key, &check);
    assert_int_equal(check.err.code == ERR_NONE, expected);
}

static void a_revoked_key_is_refused_and_announced(void **state)
{
    struct accounts *accounts = *state;
    struct listener listener;
    struct user user;
    struct issued_key issued;
    struct answer answer;
    listener_open(&listener, accounts);
    accounts_user(accounts, "announced", &user);
    accounts_issue(accounts, user.id, &issued);
    assert_serves(accounts, issued.key, true);
    revoke_key(accounts, issued.made.id, user.id, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    turn_until_true(accounts->loop, listener_has_heard, &listener);
    assert_string_equal(listener.ids[0], issued.made.id);
    assert_serves(accounts, issued.key, false);

    revoke_key(accounts, issued.made.id, user.id, &answer); /* again is no error */
    assert_int_equal(answer.err.code, ERR_NONE);
    listener_close(&listener);
}

static void keys_of_others_and_unknown_ones_look_alike(void **state)
{
    struct accounts *accounts = *state;
    struct user owner;
    struct user stranger;
    struct issued_key issued;
    struct answer answer;
    accounts_user(accounts, "owner", &owner);
    accounts_user(accounts, "stranger", &stranger);
    accounts_issue(accounts, owner.id, &issued);
    revoke_key(accounts, issued.made.id, stranger.id, &answer);
    assert_string_equal(answer.err.reason, "api_key_not_found");
    revoke_key(accounts, unknown_id, stranger.id, &answer);
    assert_string_equal(answer.err.reason, "api_key_not_found");
    assert_int_equal(answer.err.code, ERR_NOT_FOUND);
    assert_serves(accounts, issued.key, true);
}

static void an_announcement_waits_for_redis_to_come_back(void **state)
{
    struct accounts *accounts = *state;
    struct listener listener;
    struct user user;
    struct issued_key issued;
    struct answer answer;
    accounts_user(accounts, "waits", &user);
    accounts_issue(accounts, user.id, &issued);
    redis_server_kill(accounts->redis_server);
    revoke_key(accounts, issued.made.id, user.id, &answer);
    assert_int_equal(answer.err.code, ERR_NONE); /* the row says so: it is revoked */
    redis_server_start_again(accounts->redis_server);
    listener_open(&listener, accounts);
    turn_until_true(accounts->loop, listener_has_heard, &listener);
    assert_string_equal(listener.ids[0], issued.made.id);
    listener_close(&listener);
}

/* A process that died between the row and the announcement. */
static void a_new_process_repeats_what_was_revoked_lately(void **state)
{
    struct accounts *accounts = *state;
    struct listener listener;
    struct user user;
    struct issued_key fresh;
    struct issued_key old;
    char sql[SQL_SIZE];
    postgres_run(accounts->postgres, "DELETE FROM api_keys");
    accounts_user(accounts, "repeats", &user);
    accounts_issue(accounts, user.id, &fresh);
    accounts_issue(accounts, user.id, &old);
    (void)snprintf(sql, sizeof sql, "UPDATE api_keys SET revoked_at = now() WHERE id = '%s'",
                   fresh.made.id);
    postgres_run(accounts->postgres, sql);
    (void)snprintf(sql, sizeof sql,
                   "UPDATE api_keys SET revoked_at = now() - interval '2 minutes' WHERE id = '%s'",
                   old.made.id);
    postgres_run(accounts->postgres, sql);
    listener_open(&listener, accounts);
    keys_announce_revoked_lately(&accounts->revoker);
    turn_until_true(accounts->loop, listener_has_heard, &listener);
    turn_for(accounts->loop, 50);
    assert_int_equal(listener.count, 1);
    assert_int_equal(listener.kinds[0], INVALIDATE_KEY);
    assert_string_equal(listener.ids[0], fresh.made.id);
    listener_close(&listener);
}

static void a_new_process_repeats_who_was_suspended_lately(void **state)
{
    struct accounts *accounts = *state;
    struct listener listener;
    struct user user;
    char sql[SQL_SIZE];
    postgres_run(accounts->postgres, "DELETE FROM api_keys");
    accounts_user(accounts, "suspended_lately", &user);
    (void)snprintf(sql, sizeof sql, "UPDATE users SET suspended_at = now() WHERE id = '%s'",
                   user.id);
    postgres_run(accounts->postgres, sql);
    listener_open(&listener, accounts);
    keys_announce_revoked_lately(&accounts->revoker);
    turn_until_true(accounts->loop, listener_has_heard, &listener);
    assert_int_equal(listener.kinds[0], INVALIDATE_USER);
    assert_string_equal(listener.ids[0], user.id);
    listener_close(&listener);
}

static void change_user(struct accounts *accounts, const char *change, const char *id)
{
    char sql[SQL_SIZE];
    (void)snprintf(sql, sizeof sql, "UPDATE users SET %s WHERE id = '%s'", change, id);
    postgres_run(accounts->postgres, sql);
}

struct expected {
    const struct listener *listener;
    enum invalidation_kind kind;
    const char *id;
};

static bool has_come(void *arg)
{
    const struct expected *expected = arg;
    const struct listener *listener = expected->listener;
    int last = listener->count - 1;
    return last >= 0 && listener->kinds[last] == expected->kind &&
           strcmp(listener->ids[last], expected->id) == 0;
}

/* Something of before may still come first. */
static void hear_of(struct accounts *accounts, struct listener *listener,
                    enum invalidation_kind kind, const char *id)
{
    struct expected expected = {listener, kind, id};
    listener->count = 0;
    turn_until_true(accounts->loop, has_come, &expected);
}

/* Whoever does it: this is as an operator would in SQL. */
static void what_changes_of_a_user_is_announced_by_what_the_user_is_then(void **state)
{
    struct accounts *accounts = *state;
    struct listener listener;
    struct user user;
    struct err err = {0};
    accounts_user(accounts, "changes", &user);
    postgres_run(accounts->postgres, "UPDATE users SET access_changed_at = NULL");
    listener_open(&listener, accounts);
    struct expiry *expiry = expiry_open(accounts->loop, accounts->pg, accounts->announcer, &err);
    assert_non_null(expiry);
    change_user(accounts, "display_name = 'No news'", user.id);
    change_user(accounts, "tier = 'pro'", user.id);
    hear_of(accounts, &listener, INVALIDATE_ACCOUNT, user.id);
    change_user(accounts, "suspended_at = now(), suspended_reason = 'spam'", user.id);
    hear_of(accounts, &listener, INVALIDATE_USER, user.id);
    change_user(accounts, "suspended_at = NULL, access_changed_at = NULL", user.id);
    hear_of(accounts, &listener, INVALIDATE_ACCOUNT, user.id);
    expiry_close(expiry);
    listener_close(&listener);
}

struct list_answer {
    bool done;
    struct str text;
};

static void on_list(const PGresult *result, const struct err *err, void *arg)
{
    struct list_answer *answer = arg;
    answer->done = true;
    assert_null(err);
    api_key_list_read(result, &answer->text);
}

static void a_list_is_as_the_api_shows_it(void **state)
{
    struct accounts *accounts = *state;
    struct list_answer answer = {.text = STR_INIT(LIST_MAX)};
    struct user user;
    struct issued_key first;
    struct issued_key second;
    char expected[1024];
    struct err err = {0};
    accounts_user(accounts, "lists", &user);
    accounts_issue(accounts, user.id, &first);
    accounts_issue(accounts, user.id, &second);
    const struct api_key_actor actor = {user.id, ""};
    assert_true(api_key_list(accounts->pg, &actor, ACCOUNTS_TIMEOUT_MS, on_list, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    int len = 0;
    const struct issued_key *const newest_first[] = {&second, &first};
    for (int i = 0; i < 2; i++) {
        const struct issued_key *key = newest_first[i];
        len += snprintf(expected + len, sizeof expected - (size_t)len,
                        "%s{\"id\":\"%s\",\"prefix\":\"%s\",\"name\":\"a "
                        "key\",\"parentId\":null,\"lastUsedAt\":null,"
                        "\"expiresAt\":null,\"revokedAt\":null,\"createdAt\":\"%s\","
                        "\"scopes\":[\"sandbox:read\",\"sandbox:write\",\"exec\",\"files\","
                        "\"keys\"],\"maxSandboxes\":null,\"requestsPerMinute\":null,"
                        "\"isActive\":true}%s",
                        i == 0 ? "[" : ",", key->made.id, key->prefix, key->made.created_at,
                        i == 0 ? "" : "]");
    }
    assert_string_equal(answer.text.data, expected);
    str_free(&answer.text);
}

struct ended_answer {
    bool done;
    struct str ids; /* a space behind each */
};

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct ended_answer *answer = arg;
    answer->done = true;
    assert_null(err);
    for (int row = 0; row < pg_rows(result); row++) {
        str_appendf(&answer->ids, "%s ", pg_text(result, row, 0));
    }
}

static void change(struct accounts *accounts, const char *table, const char *what, const char *id)
{
    char sql[SQL_SIZE];
    (void)snprintf(sql, sizeof sql, "UPDATE %s SET %s WHERE id = '%s'", table, what, id);
    postgres_run(accounts->postgres, sql);
}

static void keys_and_users_that_do_not_serve_are_told(void **state)
{
    struct accounts *accounts = *state;
    struct ended_answer answer = {.ids = STR_INIT(LIST_MAX)};
    struct user user;
    struct user suspended;
    struct issued_key serving;
    struct issued_key revoked;
    struct issued_key expired;
    struct issued_key of_suspended;
    char asked[7 * ID_SIZE + 2];
    struct err err = {0};
    accounts_user(accounts, "ended", &user);
    accounts_user(accounts, "suspended", &suspended);
    accounts_issue(accounts, user.id, &serving);
    accounts_issue(accounts, user.id, &revoked);
    accounts_issue(accounts, user.id, &expired);
    accounts_issue(accounts, suspended.id, &of_suspended);
    change(accounts, "api_keys", "revoked_at = now()", revoked.made.id);
    change(accounts, "api_keys", "expires_at = now()", expired.made.id);
    change(accounts, "users", "suspended_at = now()", suspended.id);
    (void)snprintf(asked, sizeof asked, "{%s,%s,%s,%s,%s,%s,%s}", serving.made.id, revoked.made.id,
                   expired.made.id, of_suspended.made.id, unknown_id, user.id, suspended.id);
    assert_true(
        api_key_find_ended(accounts->pg, asked, ACCOUNTS_TIMEOUT_MS, on_ended, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    assert_int_equal(answer.ids.len, 5 * ID_SIZE);
    assert_non_null(strstr(answer.ids.data, revoked.made.id));
    assert_non_null(strstr(answer.ids.data, expired.made.id));
    assert_non_null(strstr(answer.ids.data, of_suspended.made.id));
    assert_non_null(strstr(answer.ids.data, unknown_id));
    assert_non_null(strstr(answer.ids.data, suspended.id));
    str_free(&answer.ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revoked_key_is_refused_and_announced),
        cmocka_unit_test(keys_of_others_and_unknown_ones_look_alike),
        cmocka_unit_test(an_announcement_waits_for_redis_to_come_back),
        cmocka_unit_test(a_new_process_repeats_what_was_revoked_lately),
        cmocka_unit_test(a_new_process_repeats_who_was_suspended_lately),
        cmocka_unit_test(what_changes_of_a_user_is_announced_by_what_the_user_is_then),
        cmocka_unit_test(a_list_is_as_the_api_shows_it),
        cmocka_unit_test(keys_and_users_that_do_not_serve_are_told),
    };
    return cmocka_run_group_tests(tests, accounts_set_up, accounts_tear_down);
}
