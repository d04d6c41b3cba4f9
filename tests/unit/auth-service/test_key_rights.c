/* What keys may do, the keys they make, and their ends, against a real PostgreSQL and Redis. */
#include "auth-service/api_keys/expiry.h"
#include "tests/unit/auth-service/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { SQL_SIZE = 512, LIST_MAX = 1024 * 1024, ROUNDS = 20, CHILDREN = 8, DAY_S = 24 * 3600 };

struct answer {
    bool done;
    struct err err;
};

static void issue(struct accounts *accounts, const struct user *user, const char *actor_key_id,
                  struct issued_key *issued)
{
    const struct key_order order = {.user_id = user->id, .actor_key_id = actor_key_id};
    accounts_issue_as(accounts, &order, issued);
}

static void assert_not_issued(struct accounts *accounts, const struct key_order *order,
                              const char *reason)
{
    struct issued_key issued;
    struct err err;
    accounts_try_issue(accounts, *order, &issued, &err);
    if (err.code == ERR_NONE) {
        fail_msg("a key was made");
    }
    assert_string_equal(err.reason, reason);
}

static bool serves(struct accounts *accounts, const struct issued_key *issued)
{
    struct accounts_check check;
    accounts_check(accounts, issued->key, &check);
    return check.err.code == ERR_NONE;
}

static void run_sql(struct accounts *accounts, const char *before, const char *id)
{
    char sql[SQL_SIZE];
    (void)snprintf(sql, sizeof sql, "%s '%s'", before, id);
    postgres_run(accounts->postgres, sql);
}

static void a_key_has_the_rights_it_was_made_with(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    struct accounts_check check;
    accounts_user(accounts, "rights", &user);
    const struct key_order order = {.user_id = user.id,
                                    .name = VIEW("narrow"),
                                    .expires_in_days = 2,
                                    .scopes = AUTH_EXEC | AUTH_FILES,
                                    .max_sandboxes = 3,
                                    .requests_per_minute = 60};
    accounts_issue_as(accounts, &order, &issued);
    assert_string_equal(issued.made.name, "narrow");
    assert_string_equal(issued.made.parent_id, "");
    assert_int_equal(issued.made.scopes, AUTH_EXEC | AUTH_FILES);
    assert_int_equal(issued.made.max_sandboxes, 3);
    assert_int_equal(issued.made.requests_per_minute, 60);
    accounts_check(accounts, issued.key, &check);
    assert_int_equal(check.row.scopes, AUTH_EXEC | AUTH_FILES);
    assert_int_equal(check.row.max_sandboxes, 3);
    assert_int_equal(check.row.requests_per_minute, 60);
}

static void admin_counts_only_while_the_user_has_the_role(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key issued;
    struct accounts_check check;
    accounts_user(accounts, "admin", &user);
    const struct key_order order = {.user_id = user.id, .scopes = AUTH_SCOPES_ALL};
    assert_not_issued(accounts, &order, "key_rights_exceeded");
    run_sql(accounts, "UPDATE users SET role = 'admin' WHERE id =", user.id);
    accounts_issue_as(accounts, &order, &issued);
    accounts_check(accounts, issued.key, &check);
    assert_true(check.row.is_admin);
    assert_int_equal(check.row.scopes, AUTH_SCOPES_ALL);
    run_sql(accounts, "UPDATE users SET role = 'user' WHERE id =", user.id);
    accounts_check(accounts, issued.key, &check);
    assert_false(check.row.is_admin);
    assert_int_equal(check.row.scopes, AUTH_SCOPES_DEFAULT);
}

static void a_child_has_what_its_parent_has_and_never_more(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key parent;
    struct issued_key child;
    accounts_user(accounts, "child", &user);
    const struct key_order narrow = {.user_id = user.id,
                                     .expires_in_days = 2,
                                     .scopes = AUTH_EXEC | AUTH_KEYS,
                                     .max_sandboxes = 3,
                                     .requests_per_minute = 60};
    accounts_issue_as(accounts, &narrow, &parent);
    issue(accounts, &user, parent.made.id, &child);
    assert_string_equal(child.made.parent_id, parent.made.id);
    assert_int_equal(child.made.scopes, AUTH_EXEC | AUTH_KEYS);
    assert_int_equal(child.made.max_sandboxes, 3);
    assert_int_equal(child.made.requests_per_minute, 60);
    assert_string_equal(child.made.expires_at, parent.made.expires_at);

    const struct key_order orders[] = {
        {.scopes = AUTH_EXEC | AUTH_FILES}, {.scopes = AUTH_ADMIN}, {.max_sandboxes = 4},
        {.requests_per_minute = 61},        {.expires_in_days = 3},
    };
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        struct key_order order = orders[i];
        order.user_id = user.id;
        order.actor_key_id = child.made.id;
        assert_not_issued(accounts, &order, "key_rights_exceeded");
    }
    const struct key_order less = {.user_id = user.id,
                                   .actor_key_id = child.made.id,
                                   .expires_in_days = 1,
                                   .scopes = AUTH_EXEC,
                                   .max_sandboxes = 2,
                                   .requests_per_minute = 59};
    struct issued_key grandchild;
    accounts_issue_as(accounts, &less, &grandchild);
    assert_int_equal(grandchild.made.scopes, AUTH_EXEC);
    assert_true(strcmp(grandchild.made.expires_at, parent.made.expires_at) < 0);
}

static void issue_limited(struct accounts *accounts, const struct user *user, const char *parent_id,
                          int64_t per_minute, struct issued_key *out)
{
    const struct key_order order = {
        .user_id = user->id, .actor_key_id = parent_id, .requests_per_minute = per_minute};
    accounts_issue_as(accounts, &order, out);
}

static void assert_limits(struct accounts *accounts, const struct issued_key *key,
                          const char *expected)
{
    struct accounts_check check;
    accounts_check(accounts, key->key, &check);
    assert_string_equal(check.row.key_limits, expected);
}

static void a_key_counts_in_the_limits_above_it(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key keys[7];
    char expected[AUTH_KEY_LIMITS_SIZE];
    accounts_user(accounts, "limits", &user);
    issue_limited(accounts, &user, "", 0, &keys[0]);
    issue_limited(accounts, &user, keys[0].made.id, 90, &keys[1]);
    issue_limited(accounts, &user, keys[1].made.id, 90, &keys[2]);
    issue_limited(accounts, &user, keys[2].made.id, 0, &keys[3]);
    issue_limited(accounts, &user, keys[3].made.id, 80, &keys[4]);
    assert_limits(accounts, &keys[0], "");
    (void)snprintf(expected, sizeof expected, "%s:90", keys[1].made.id);
    assert_limits(accounts, &keys[1], expected);
    assert_limits(accounts, &keys[2], expected);
    assert_limits(accounts, &keys[3], expected);
    (void)snprintf(expected, sizeof expected, "%s:80,%s:90", keys[4].made.id, keys[1].made.id);
    assert_limits(accounts, &keys[4], expected);
    issue_limited(accounts, &user, keys[4].made.id, 70, &keys[5]);
    issue_limited(accounts, &user, keys[5].made.id, 60, &keys[6]);
    (void)snprintf(expected, sizeof expected, "%s:60,%s:70,%s:80,%s:90", keys[6].made.id,
                   keys[5].made.id, keys[4].made.id, keys[1].made.id);
    assert_limits(accounts, &keys[6], expected);
    const struct key_order fifth = {
        .user_id = user.id, .actor_key_id = keys[6].made.id, .requests_per_minute = 50};
    assert_not_issued(accounts, &fifth, "key_rights_exceeded");
    issue_limited(accounts, &user, keys[6].made.id, 60, &keys[0]);
    assert_limits(accounts, &keys[0], expected);
    issue_limited(accounts, &user, keys[6].made.id, 0, &keys[0]);
    assert_limits(accounts, &keys[0], expected);
}

static void a_key_that_ended_makes_none(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct user other;
    struct issued_key parent;
    accounts_user(accounts, "ended", &user);
    accounts_user(accounts, "other", &other);
    issue(accounts, &user, "", &parent);
    const struct key_order foreign = {.user_id = other.id, .actor_key_id = parent.made.id};
    assert_not_issued(accounts, &foreign, "invalid_api_key");
    const struct key_order order = {.user_id = user.id, .actor_key_id = parent.made.id};
    run_sql(accounts, "UPDATE api_keys SET revoked_at = now() WHERE id =", parent.made.id);
    assert_not_issued(accounts, &order, "invalid_api_key");
    run_sql(accounts,
            "UPDATE api_keys SET revoked_at = NULL, expires_at = now() WHERE id =", parent.made.id);
    assert_not_issued(accounts, &order, "invalid_api_key");
    run_sql(accounts, "UPDATE users SET suspended_at = now() WHERE id =", user.id);
    const struct key_order suspended = {.user_id = user.id};
    assert_not_issued(accounts, &suspended, "invalid_api_key");
}

struct wanted {
    const struct listener *listener;
    const char *id;
};

static bool has_come(void *arg)
{
    const struct wanted *wanted = arg;
    return listener_has_heard_of(wanted->listener, INVALIDATE_KEY, wanted->id);
}

static void wait_for_news(struct accounts *accounts, const struct listener *listener,
                          const char *id)
{
    struct wanted wanted = {listener, id};
    turn_until_true(accounts->loop, has_come, &wanted);
}

static void on_revoked(const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->err = err == NULL ? (struct err){0} : *err;
}

static void end_key(struct accounts *accounts, const struct user *user, const char *actor_key_id,
                    const char *id, struct err *err)
{
    struct answer answer = {0};
    const struct api_key_actor actor = {user->id, actor_key_id};
    assert_true(
        key_revoke(&accounts->revoker, id, &actor, ACCOUNTS_TIMEOUT_MS, on_revoked, &answer, err));
    turn_until(accounts->loop, &answer.done);
    *err = answer.err;
}

static void revoking_a_key_revokes_and_announces_all_that_came_of_it(void **state)
{
    struct accounts *accounts = *state;
    struct listener listener;
    struct user user;
    struct issued_key top;
    struct issued_key child;
    struct issued_key grandchild;
    struct issued_key sibling;
    struct err err = {0};
    accounts_user(accounts, "descendants", &user);
    issue(accounts, &user, "", &top);
    issue(accounts, &user, top.made.id, &child);
    issue(accounts, &user, top.made.id, &sibling);
    issue(accounts, &user, child.made.id, &grandchild);
    listener_open(&listener, accounts);
    end_key(accounts, &user, "", child.made.id, &err);
    assert_int_equal(err.code, ERR_NONE);
    wait_for_news(accounts, &listener, child.made.id);
    wait_for_news(accounts, &listener, grandchild.made.id);
    assert_int_equal(listener_count(&listener, INVALIDATE_KEY), 2);
    assert_false(serves(accounts, &child) || serves(accounts, &grandchild));
    assert_true(serves(accounts, &top) && serves(accounts, &sibling));
    listener_close(&listener);
}

static void a_key_revokes_those_below_it_alone(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key top;
    struct issued_key child;
    struct issued_key grandchild;
    struct issued_key sibling;
    struct err err = {0};
    accounts_user(accounts, "below", &user);
    issue(accounts, &user, "", &top);
    issue(accounts, &user, top.made.id, &child);
    issue(accounts, &user, top.made.id, &sibling);
    issue(accounts, &user, child.made.id, &grandchild);
    const char *const others[] = {top.made.id, child.made.id, sibling.made.id};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        end_key(accounts, &user, child.made.id, others[i], &err);
        assert_string_equal(err.reason, "api_key_not_found");
    }
    end_key(accounts, &user, top.made.id, grandchild.made.id, &err);
    assert_int_equal(err.code, ERR_NONE);
    assert_false(serves(accounts, &grandchild));
    end_key(accounts, &user, grandchild.made.id, sibling.made.id, &err);
    assert_string_equal(err.reason, "invalid_api_key");
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

static void a_key_lists_those_below_it(void **state)
{
    struct accounts *accounts = *state;
    struct list_answer answer = {.text = STR_INIT(LIST_MAX)};
    struct user user;
    struct issued_key top;
    struct issued_key child;
    struct issued_key grandchild;
    struct err err = {0};
    accounts_user(accounts, "lists", &user);
    issue(accounts, &user, "", &top);
    issue(accounts, &user, top.made.id, &child);
    issue(accounts, &user, child.made.id, &grandchild);
    const struct api_key_actor actor = {user.id, top.made.id};
    assert_true(api_key_list(accounts->pg, &actor, ACCOUNTS_TIMEOUT_MS, on_list, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    assert_null(strstr(answer.text.data, top.prefix));
    assert_non_null(strstr(answer.text.data, child.made.id));
    assert_non_null(strstr(answer.text.data, grandchild.made.id));
    str_free(&answer.text);
}

/* Who has a key could hide it from its owner by making and revoking many. */
static void the_list_has_every_key_that_serves(void **state)
{
    struct accounts *accounts = *state;
    struct list_answer answer = {.text = STR_INIT(LIST_MAX)};
    struct user user;
    struct issued_key old;
    struct err err = {0};
    char sql[SQL_SIZE];
    accounts_user(accounts, "hides", &user);
    issue(accounts, &user, "", &old);
    (void)snprintf(
        sql, sizeof sql,
        "INSERT INTO api_keys (user_id, prefix, digest, bcrypt, revoked_at)"
        " SELECT user_id, prefix, sha256(convert_to(id || n::text, 'UTF8')), bcrypt, now()"
        " FROM api_keys, generate_series(1, %d) n WHERE id =",
        API_KEYS_MAX);
    run_sql(accounts, sql, old.made.id);
    const struct api_key_actor session = {user.id, ""};
    assert_true(api_key_list(accounts->pg, &session, ACCOUNTS_TIMEOUT_MS, on_list, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    assert_non_null(strstr(answer.text.data, old.made.id));
    str_free(&answer.text);
}

static void on_inserted(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    (void)result;
    answer->done = true;
    answer->err = err == NULL ? (struct err){0} : *err;
}

static void insert_child(struct accounts *accounts, const struct user *user, const char *parent_id,
                         struct answer *answer)
{
    static int number;
    char digest[API_KEY_HASH_HEX_SIZE];
    struct err err = {0};
    (void)snprintf(digest, sizeof digest, "%064x", ++number);
    const struct api_key_insert insert = {.user_id = user->id,
                                          .actor_key_id = parent_id,
                                          .name = "",
                                          .secret = {"isk_00000000", digest, "none"}};
    *answer = (struct answer){0};
    assert_true(
        api_key_insert(accounts->pg, &insert, ACCOUNTS_TIMEOUT_MS, on_inserted, answer, &err));
}

/* On several connections of PostgreSQL, so that they do meet. */
static void no_child_slips_past_the_revocation_of_its_parent(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    accounts_user(accounts, "race", &user);
    for (int round = 0; round < ROUNDS; round++) {
        struct list_answer list = {.text = STR_INIT(LIST_MAX)};
        struct answer children[CHILDREN];
        struct answer revoked = {0};
        struct issued_key top;
        struct err err = {0};
        const struct api_key_actor session = {user.id, ""};
        issue(accounts, &user, "", &top);
        for (int i = 0; i < CHILDREN; i++) {
            insert_child(accounts, &user, top.made.id, &children[i]);
            if (i == round % CHILDREN) {
                assert_true(key_revoke(&accounts->revoker, top.made.id, &session,
                                       ACCOUNTS_TIMEOUT_MS, on_revoked, &revoked, &err));
            }
        }
        for (int i = 0; i < CHILDREN; i++) {
            turn_until(accounts->loop, &children[i].done);
            assert_true(children[i].err.code == ERR_NONE ||
                        strcmp(children[i].err.reason, "invalid_api_key") == 0);
        }
        turn_until(accounts->loop, &revoked.done);
        assert_int_equal(revoked.err.code, ERR_NONE);
        assert_true(
            api_key_list(accounts->pg, &session, ACCOUNTS_TIMEOUT_MS, on_list, &list, &err));
        turn_until(accounts->loop, &list.done);
        assert_null(strstr(list.text.data, "\"isActive\":true"));
        str_free(&list.text);
    }
}

static void rotate(struct accounts *accounts, const struct user *user, const char *id,
                   int64_t overlap_s, struct issued_key *issued)
{
    const struct key_order order = {.user_id = user->id, .replaces_id = id, .overlap_s = overlap_s};
    accounts_issue_as(accounts, &order, issued);
}

static void a_rotated_key_has_a_successor_of_the_same_rights(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key former;
    struct issued_key child;
    struct issued_key successor;
    struct err err = {0};
    accounts_user(accounts, "rotates", &user);
    const struct key_order order = {.user_id = user.id,
                                    .name = VIEW("ci"),
                                    .expires_in_days = 30,
                                    .scopes = AUTH_EXEC | AUTH_KEYS,
                                    .max_sandboxes = 3,
                                    .requests_per_minute = 60};
    accounts_issue_as(accounts, &order, &former);
    issue(accounts, &user, former.made.id, &child);
    rotate(accounts, &user, former.made.id, 0, &successor);
    assert_string_equal(successor.made.name, "ci");
    assert_string_equal(successor.made.parent_id, "");
    assert_int_equal(successor.made.scopes, AUTH_EXEC | AUTH_KEYS);
    assert_int_equal(successor.made.max_sandboxes, 3);
    assert_int_equal(successor.made.requests_per_minute, 60);
    assert_true(strcmp(successor.made.expires_at, former.made.expires_at) >= 0);
    assert_true(serves(accounts, &successor) && serves(accounts, &child));
    assert_false(serves(accounts, &former));

    const struct key_order again = {.user_id = user.id, .replaces_id = former.made.id};
    assert_not_issued(accounts, &again, "api_key_ended");
    end_key(accounts, &user, "", successor.made.id, &err);
    assert_false(serves(accounts, &successor) || serves(accounts, &child));
}

/* A key that was rotated itself, and is about to end, makes nothing that goes on. */
static void rotating_gives_no_longer_life_than_the_key_that_does_it_has(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key top;
    struct issued_key child;
    struct issued_key successor;
    struct accounts_check check;
    struct accounts_check gained;
    accounts_user(accounts, "gains", &user);
    issue(accounts, &user, "", &top);
    issue(accounts, &user, top.made.id, &child);
    assert_string_equal(child.made.expires_at, "");
    rotate(accounts, &user, top.made.id, DAY_S, &successor);
    const struct key_order order = {
        .user_id = user.id, .actor_key_id = top.made.id, .replaces_id = child.made.id};
    accounts_issue_as(accounts, &order, &successor);
    accounts_check(accounts, top.key, &check);
    accounts_check(accounts, successor.key, &gained);
    assert_int_not_equal(check.row.expires_at_ms, 0);
    assert_int_equal(gained.row.expires_at_ms, check.row.expires_at_ms);
    rotate(accounts, &user, successor.made.id, DAY_S, &child);
    accounts_check(accounts, child.key, &gained);
    assert_int_not_equal(gained.row.expires_at_ms, 0);
}

static void a_rotated_key_goes_on_for_the_overlap_and_its_end_is_announced(void **state)
{
    struct accounts *accounts = *state;
    struct listener listener;
    struct user user;
    struct issued_key former;
    struct issued_key successor;
    struct accounts_check check;
    struct err err = {0};
    accounts_user(accounts, "overlaps", &user);
    issue(accounts, &user, "", &former);
    rotate(accounts, &user, former.made.id, DAY_S, &successor);
    assert_true(serves(accounts, &former) && serves(accounts, &successor));
    accounts_check(accounts, former.key, &check);
    assert_int_not_equal(check.row.expires_at_ms, 0);
    assert_string_equal(successor.made.expires_at, "");

    listener_open(&listener, accounts);
    struct expiry *expiry = expiry_open(accounts->loop, accounts->pg, accounts->announcer, &err);
    assert_non_null(expiry);
    run_sql(accounts, "UPDATE api_keys SET expires_at = now() + interval '1500 ms' WHERE id =",
            former.made.id);
    wait_for_news(accounts, &listener, former.made.id);
    assert_false(serves(accounts, &former));
    assert_true(serves(accounts, &successor));
    expiry_close(expiry);
    listener_close(&listener);
}

static void a_key_rotates_those_below_it_within_its_own_life(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key top;
    struct issued_key child;
    struct issued_key successor;
    accounts_user(accounts, "rotates below", &user);
    const struct key_order order = {.user_id = user.id, .expires_in_days = 1};
    accounts_issue_as(accounts, &order, &top);
    issue(accounts, &user, top.made.id, &child);
    const struct key_order itself = {
        .user_id = user.id, .actor_key_id = top.made.id, .replaces_id = top.made.id};
    assert_not_issued(accounts, &itself, "api_key_not_found");
    const struct key_order below = {
        .user_id = user.id, .actor_key_id = top.made.id, .replaces_id = child.made.id};
    accounts_issue_as(accounts, &below, &successor);
    assert_string_equal(successor.made.parent_id, top.made.id);
    assert_string_equal(successor.made.expires_at, top.made.expires_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_has_the_rights_it_was_made_with),
        cmocka_unit_test(admin_counts_only_while_the_user_has_the_role),
        cmocka_unit_test(a_child_has_what_its_parent_has_and_never_more),
        cmocka_unit_test(a_key_counts_in_the_limits_above_it),
        cmocka_unit_test(a_key_that_ended_makes_none),
        cmocka_unit_test(revoking_a_key_revokes_and_announces_all_that_came_of_it),
        cmocka_unit_test(a_key_revokes_those_below_it_alone),
        cmocka_unit_test(a_key_lists_those_below_it),
        cmocka_unit_test(the_list_has_every_key_that_serves),
        cmocka_unit_test(no_child_slips_past_the_revocation_of_its_parent),
        cmocka_unit_test(a_rotated_key_has_a_successor_of_the_same_rights),
        cmocka_unit_test(rotating_gives_no_longer_life_than_the_key_that_does_it_has),
        cmocka_unit_test(a_rotated_key_goes_on_for_the_overlap_and_its_end_is_announced),
        cmocka_unit_test(a_key_rotates_those_below_it_within_its_own_life),
    };
    return cmocka_run_group_tests(tests, accounts_set_up, accounts_tear_down);
}
