/* sandbox-service/secrets/store.c and the functions it calls, against a real PostgreSQL. */
#include "sandbox-service/secrets/store.h"

#include "sandbox-service/secrets/reseal.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define STRANGER "22222222-2222-4222-8222-222222222222"
#define SUSPENDED "33333333-3333-4333-8333-333333333333"
#define SANDBOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NEW_KEY "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

enum { LIST_MAX = 64 * 1024, MANY = 2 * SECRET_RESEAL_ROWS + 3, VALUE_MAX = 64 };

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct secret_store *store;
};

struct answer {
    bool done;
    int rows;
    bool is_new;
    char list[LIST_MAX];
    struct err err;
};

static void note(struct answer *answer, const PGresult *result, const struct err *err)
{
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    } else {
        answer->rows = pg_rows(result);
    }
}

static void on_set(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct secret_info info;
    note(answer, result, err);
    if (err == NULL) {
        secret_store_read_set(result, &info);
        answer->is_new = info.is_new;
        assert_int_equal(info.created_at.len, CLOCK_ISO_SIZE - 1);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct err failure = {0};
    struct str text = STR_INIT(LIST_MAX - 1);
    note(answer, result, err);
    assert_null(err);
    assert_true(secret_store_write_list(result, &text, &failure));
    assert_true(view_copy(str_view(&text), answer->list, sizeof answer->list));
    str_free(&text);
}

static void on_done(const PGresult *result, const struct err *err, void *arg)
{
    note(arg, result, err);
}

static struct keyring keys(const char *current, const char *older)
{
    struct keyring keyring;
    struct err err = {0};
    assert_true(keyring_read(&keyring, current, older, &err));
    return keyring;
}

static void set_as(struct fixture *fixture, const struct keyring *keyring, const char *user_id,
                   const char *name, const char *value, struct answer *answer)
{
    uint8_t sealed[VALUE_MAX + KEYRING_OVERHEAD];
    const struct keyring_place place = {user_id, view_of(name)};
    *answer = (struct answer){0};
    assert_true(keyring_seal(keyring, &place, view_of(value), sealed, &answer->err));
    const struct secret_row row = {
        .user_id = user_id,
        .name = name,
        .key_id = keyring_current(keyring),
        .sealed = {(const char *)sealed, strlen(value) + KEYRING_OVERHEAD}};
    assert_true(secret_store_set(fixture->store, &row, on_set, answer, &answer->err));
    turn_until(fixture->loop, &answer->done);
}

static void set(struct fixture *fixture, const char *name, const char *value)
{
    static struct answer answer;
    struct keyring keyring = keys(KEY, "");
    set_as(fixture, &keyring, USER, name, value, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
}

static const char *list(struct fixture *fixture, const char *user_id)
{
    static struct answer answer;
    answer = (struct answer){0};
    assert_true(secret_store_list(fixture->store, user_id, on_listed, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer.list;
}

static int delete_secret(struct fixture *fixture, const char *user_id, const char *name)
{
    static struct answer answer;
    answer = (struct answer){0};
    assert_true(secret_store_delete(fixture->store, user_id, name, on_done, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_NONE);
    return answer.rows;
}

static void secret_is_made_and_then_changed(void **state)
{
    struct fixture *fixture = *state;
    static struct answer answer;
    struct keyring keyring = keys(KEY, "");
    set_as(fixture, &keyring, USER, "token", "one", &answer);
    assert_true(answer.is_new);
    set_as(fixture, &keyring, USER, "token", "another", &answer);
    assert_false(answer.is_new);
    postgres_expect(fixture->postgres, "SELECT count(*) FROM secrets", "1");
}

static void list_has_names_and_no_values(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "b", "value");
    set(fixture, "a", "value");
    const char *text = list(fixture, USER);
    assert_non_null(strstr(text, "[{\"name\":\"a\",\"createdAt\":\""));
    assert_non_null(strstr(text, "{\"name\":\"b\""));
    assert_null(strstr(text, "value"));
    assert_string_equal(list(fixture, STRANGER), "[]");
}

static void secret_of_another_is_not_deleted(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "token", "x");
    assert_int_equal(delete_secret(fixture, STRANGER, "token"), 0);
    assert_int_equal(delete_secret(fixture, USER, "token"), 1);
    assert_int_equal(delete_secret(fixture, USER, "token"), 0);
}

static void there_are_so_many_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    static struct answer answer;
    struct keyring keyring = keys(KEY, "");
    for (int i = 0; i < SECRETS_PER_USER_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%d", i);
        set(fixture, name, "x");
    }
    set_as(fixture, &keyring, USER, "s0", "y", &answer); /* is there already */
    assert_int_equal(answer.err.code, ERR_NONE);
    set_as(fixture, &keyring, USER, "more", "x", &answer);
    assert_int_equal(answer.err.code, ERR_LIMIT);
    assert_string_equal(answer.err.reason, "secret_quota_exceeded");
}

static void suspended_users_set_none(void **state)
{
    static struct answer answer;
    struct keyring keyring = keys(KEY, "");
    set_as(*state, &keyring, SUSPENDED, "token", "x", &answer);
    assert_int_equal(answer.err.code, ERR_DENIED);
    assert_string_equal(answer.err.reason, "user_suspended");
}

static void sandbox_is_given_what_it_names(void **state)
{
    struct fixture *fixture = *state;
    set(fixture, "token", "x");
    set(fixture, "key", "y");
    postgres_expect(fixture->postgres,
                    "SELECT secrets_attach('" SANDBOX "', '{\"env\": {\"TOKEN\": \"token\","
                    " \"SAME\": \"token\"}, \"files\": {\"id.pem\": \"key\"}}')",
                    "3");
    postgres_expect(fixture->postgres,
                    "SELECT string_agg(concat_ws(' ', split_part(l, ' ', 1), split_part(l, ' ', 2),"
                    " split_part(l, ' ', 4)), '|') FROM"
                    " regexp_split_to_table(secrets_of_sandbox('" SANDBOX "'), E'\\n') AS l",
                    "env SAME token|env TOKEN token|file id.pem key");
    assert_int_equal(delete_secret(fixture, USER, "token"), 1);
    postgres_expect(fixture->postgres,
                    "SELECT split_part(secrets_of_sandbox('" SANDBOX "'), ' ', 2)", "id.pem");
    postgres_expect(fixture->postgres, "SELECT secrets_attach('" SANDBOX "', '{}')", "0");
}

/* The reason that a statement raises. */
#define RAISED(sql)                                                                                \
    "DO $$ BEGIN PERFORM " sql "; RAISE 'nothing'; EXCEPTION WHEN SQLSTATE 'IN404' OR SQLSTATE "   \
    "'IN400' THEN PERFORM set_config('test.raised', SQLERRM, false); END $$; "                     \
    "SELECT current_setting('test.raised')"

static void what_is_not_there_or_too_large_is_refused(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres,
                 "INSERT INTO secrets (user_id, name, key_id, sealed) VALUES ('" STRANGER
                 "', 'theirs', '0123456789abcdef', decode(repeat('00', 28), 'hex'))");
    postgres_expect(fixture->postgres,
                    RAISED("secrets_attach('" SANDBOX "', '{\"env\": {\"A\": \"theirs\"}}')"),
                    "secret_not_found");
    postgres_run(fixture->postgres,
                 "INSERT INTO secrets (user_id, name, key_id, sealed) VALUES ('" USER
                 "', 'large', '0123456789abcdef', decode(repeat('00', 32796), 'hex'))");
    postgres_expect(
        fixture->postgres,
        RAISED("secrets_attach('" SANDBOX "', (SELECT jsonb_build_object('files',"
               " jsonb_object_agg('f' || i, 'large')) FROM generate_series(1, 9) AS i))"),
        "secrets_too_large");
}

/* One that lives is given all of it anew when its agent comes back. */
static void a_secret_does_not_grow_beyond_what_a_sandbox_may_have(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres,
                 "INSERT INTO secrets (user_id, name, key_id, sealed) VALUES ('" USER
                 "', 'small', '0123456789abcdef', decode(repeat('00', 28), 'hex'))");
    postgres_expect(fixture->postgres,
                    "SELECT length(secrets_begin('" SANDBOX "', (SELECT jsonb_build_object('files',"
                    " jsonb_object_agg('f' || i, 'small')) FROM generate_series(1, 9) AS i))) > 0",
                    "t");
    postgres_expect(fixture->postgres, "SELECT secrets_begin('" SANDBOX "', '{}')", "");
    postgres_expect(fixture->postgres,
                    RAISED("secret_set('" USER "', 'small', '0123456789abcdef',"
                           " decode(repeat('00', 32796), 'hex'), 100)"),
                    "secrets_too_large");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'"
                                    " WHERE id = '" SANDBOX "'");
    postgres_expect(fixture->postgres,
                    "SELECT is_new FROM secret_set('" USER "', 'small', '0123456789abcdef',"
                    " decode(repeat('00', 32796), 'hex'), 100)",
                    "f");
}

static bool is_resealed(void *arg)
{
    struct fixture *fixture = arg;
    static struct answer answer;
    struct keyring now = keys(NEW_KEY, "");
    answer = (struct answer){0};
    assert_true(secret_store_foreign(fixture->store, keyring_current(&now), "", on_done, &answer,
                                     &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer.rows == 1; /* the one that nobody can open */
}

static void all_is_sealed_anew_with_the_key_of_now(void **state)
{
    struct fixture *fixture = *state;
    struct keyring keyring = keys(NEW_KEY, KEY);
    struct err err = {0};
    for (int i = 0; i < MANY; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%d", i);
        set(fixture, name, "value");
    }
    postgres_run(fixture->postgres,
                 "INSERT INTO secrets (user_id, name, key_id, sealed) VALUES ('" USER
                 "', 'lost', '0123456789abcdef', decode(repeat('00', 28), 'hex'))");
    struct reseal *reseal = reseal_open(fixture->loop, fixture->store, &keyring, &err);
    assert_non_null(reseal);
    turn_until_true(fixture->loop, is_resealed, fixture);
    (void)secret_store_fail_all(fixture->store);
    reseal_close(reseal);
}

#define SANDBOX_ROW                                                                                \
    "('" SANDBOX "', '" USER "', 'base', 'x', 'sudo', 'free', 'creating', 'none', 'test',"         \
    " 'node-1', 1, 1, 1, 1, now())"

static int open_store(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    postgres_run(fixture->postgres,
                 "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status,"
                 " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at)"
                 " VALUES " SANDBOX_ROW);
    fixture->store =
        secret_store_open(fixture->loop, postgres_service_url(fixture->postgres, "sandbox"), &err);
    assert_non_null(fixture->store);
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    secret_store_close(fixture->store);
    postgres_run(fixture->postgres, "DELETE FROM sandboxes; DELETE FROM secrets");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres, "INSERT INTO users (id, suspended_at) VALUES ('" USER
                                   "', NULL), ('" STRANGER "', NULL), ('" SUSPENDED "', now())");
    fixture.loop = loop_new(&err);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(secret_is_made_and_then_changed),
        TEST(list_has_names_and_no_values),
        TEST(secret_of_another_is_not_deleted),
        TEST(there_are_so_many_and_no_more),
        TEST(suspended_users_set_none),
        TEST(sandbox_is_given_what_it_names),
        TEST(what_is_not_there_or_too_large_is_refused),
        TEST(a_secret_does_not_grow_beyond_what_a_sandbox_may_have),
        TEST(all_is_sealed_anew_with_the_key_of_now),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
