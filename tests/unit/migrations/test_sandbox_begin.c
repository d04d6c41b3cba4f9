/* The SQL function sandbox_begin, called as the sandbox-service does. */
#include "common/db/pg.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define SUSPENDED "22222222-2222-4222-8222-222222222222"
#define NOBODY "33333333-3333-4333-8333-333333333333"
/* TOP made CHILD, which made GRANDCHILD; OTHER is of nobody. */
#define TOP "44444444-4444-4444-8444-444444444441"
#define CHILD "44444444-4444-4444-8444-444444444442"
#define GRANDCHILD "44444444-4444-4444-8444-444444444443"
#define OTHER "44444444-4444-4444-8444-444444444444"
enum { CONNECTIONS = 4, ATTEMPTS = 12, LIMIT = 2 };

static const char limits[] = "{\"free\": {\"sandboxes\": 2, \"memoryMB\": 512, \"cpuMilli\": 1000,"
                             " \"pids\": 256, \"diskMB\": 2048, \"lifetimeHours\": 2}}";

static const struct pg_statement statements[] = {
    {"begin",
     "SELECT b.status, b.image, b.profile, b.tier, b.memory_mb, b.expires_at - b.created_at"
     " FROM sandbox_begin($1, $2, nullif($6, '')::uuid, $3, $4, 'none', 'test', 'node-1', '{}', "
     "'{}', $5, '{}', '{}')"
     " AS b"},
    {"end", "UPDATE sandboxes SET status = 'stopping', end_reason = 'user' WHERE id = $1"},
    {"clear", "DELETE FROM sandboxes"},
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct pg_pool *pool;
};

struct answer {
    bool done;
    char columns[6][32];
    struct err err;
};

static void on_result(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    for (int i = 0; i < 6 && pg_rows(result) == 1 && i < PQnfields(result); i++) {
        (void)snprintf(answer->columns[i], sizeof answer->columns[i], "%s", pg_text(result, 0, i));
    }
}

static void query(struct fixture *fixture, const char *statement,
                  const struct pg_parameters *parameters, struct answer *answer)
{
    struct err err;
    *answer = (struct answer){0};
    assert_non_null(
        pg_query_begin(fixture->pool, statement, parameters, 5000, on_result, answer, &err));
}

/* number tells the sandboxes of a test apart. */
static void sandbox_id(int number, char out[37])
{
    (void)snprintf(out, 37, "aaaaaaaa-aaaa-4aaa-8aaa-%012d", number);
}

static void start(struct fixture *fixture, int number, const char *user, const char *template_name,
                  const char *timeout_ms, const char *api_key_id, struct answer *answer)
{
    char id[37];
    sandbox_id(number, id);
    const struct pg_parameters parameters = {
        .values = {id, user, template_name, timeout_ms, limits, api_key_id}, .count = 6};
    query(fixture, "begin", &parameters, answer);
}

static struct answer begin(struct fixture *fixture, int number, const char *user,
                           const char *template_name, const char *timeout_ms)
{
    struct answer answer;
    start(fixture, number, user, template_name, timeout_ms, "", &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer begin_by(struct fixture *fixture, int number, const char *api_key_id)
{
    struct answer answer;
    start(fixture, number, USER, "base", "0", api_key_id, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void assert_refused(const struct answer *answer, enum err_code code, const char *reason)
{
    assert_int_equal(answer->err.code, code);
    assert_string_equal(answer->err.reason, reason);
}

static void row_has_what_template_and_tier_say(void **state)
{
    struct answer answer = begin(*state, 1, USER, "base-locked", "0");
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_string_equal(answer.columns[0], "creating");
    assert_string_equal(answer.columns[1], "insien/base:latest");
    assert_string_equal(answer.columns[2], "locked");
    assert_string_equal(answer.columns[3], "free");
    assert_string_equal(answer.columns[4], "512");
    assert_string_equal(answer.columns[5], "02:00:00");
}

static void shorter_life_is_granted_and_a_longer_one_is_not(void **state)
{
    assert_string_equal(begin(*state, 1, USER, "base", "1500").columns[5], "00:00:01.5");
    assert_string_equal(begin(*state, 2, USER, "base", "604800000").columns[5], "02:00:00");
}

static void third_sandbox_of_two_is_refused_until_one_ends(void **state)
{
    struct fixture *fixture = *state;
    char id[37];
    sandbox_id(1, id);
    const struct pg_parameters parameters = {.values = {id}, .count = 1};
    struct answer answer = begin(fixture, 1, USER, "tiny", "0");
    answer = begin(fixture, 2, USER, "tiny", "0");
    assert_int_equal(answer.err.code, ERR_NONE);
    answer = begin(fixture, 3, USER, "tiny", "0");
    assert_refused(&answer, ERR_LIMIT, "quota_exceeded");
    query(fixture, "end", &parameters, &answer);
    turn_until(fixture->loop, &answer.done);
    answer = begin(fixture, 3, USER, "tiny", "0");
    assert_int_equal(answer.err.code, ERR_NONE);
}

static void creates_at_once_do_not_slip_past_the_quota(void **state)
{
    struct fixture *fixture = *state;
    struct answer answers[ATTEMPTS];
    int granted = 0;
    for (int i = 0; i < ATTEMPTS; i++) {
        start(fixture, i, USER, "base", "0", "", &answers[i]);
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        turn_until(fixture->loop, &answers[i].done);
        granted += answers[i].err.code == ERR_NONE ? 1 : 0;
    }
    assert_int_equal(granted, LIMIT);
}

static void make_key(const struct fixture *fixture, const char *id, const char *parent_id,
                     const char *max_sandboxes)
{
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO api_keys (id, user_id, parent_id, prefix, digest, bcrypt,"
                   " max_sandboxes) VALUES ('%s', '" USER "', %s, 'isk_01234567',"
                   " sha256('%s'), 'x', %s)",
                   id, parent_id, id, max_sandboxes);
    postgres_run(fixture->postgres, sql);
}

static void a_keys_limit_counts_what_came_of_it(void **state)
{
    struct fixture *fixture = *state;
    make_key(fixture, TOP, "NULL", "1");
    make_key(fixture, CHILD, "'" TOP "'", "1");
    make_key(fixture, GRANDCHILD, "'" CHILD "'", "NULL");
    make_key(fixture, OTHER, "NULL", "NULL");
    assert_int_equal(begin_by(fixture, 1, GRANDCHILD).err.code, ERR_NONE);
    static const char *const full[] = {GRANDCHILD, CHILD, TOP};
    for (int i = 0; i < 3; i++) {
        struct answer answer = begin_by(fixture, 2, full[i]);
        assert_refused(&answer, ERR_LIMIT, "key_quota_exceeded");
    }
    assert_int_equal(begin_by(fixture, 2, OTHER).err.code, ERR_NONE);
    struct answer answer = begin_by(fixture, 3, OTHER);
    assert_refused(&answer, ERR_LIMIT, "quota_exceeded");
}

static void a_keys_limit_is_its_own(void **state)
{
    struct fixture *fixture = *state;
    make_key(fixture, TOP, "NULL", "NULL");
    make_key(fixture, CHILD, "'" TOP "'", "1");
    assert_int_equal(begin_by(fixture, 1, CHILD).err.code, ERR_NONE);
    struct answer answer = begin_by(fixture, 2, CHILD);
    assert_refused(&answer, ERR_LIMIT, "key_quota_exceeded");
    assert_int_equal(begin_by(fixture, 2, TOP).err.code, ERR_NONE);
}

static void creates_at_once_do_not_slip_past_a_keys_limit(void **state)
{
    struct fixture *fixture = *state;
    struct answer answers[ATTEMPTS];
    int granted = 0;
    make_key(fixture, TOP, "NULL", "1");
    for (int i = 0; i < ATTEMPTS; i++) {
        start(fixture, i, USER, "base", "0", TOP, &answers[i]);
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        turn_until(fixture->loop, &answers[i].done);
        granted += answers[i].err.code == ERR_NONE ? 1 : 0;
    }
    assert_int_equal(granted, 1);
}

static void repeated_create_finds_its_sandbox(void **state)
{
    struct answer answer = begin(*state, 1, USER, "base", "0");
    answer = begin(*state, 2, USER, "base", "0");
    answer = begin(*state, 1, USER, "base", "0");
    assert_refused(&answer, ERR_CONFLICT, "sandbox_exists"); /* not the quota */
}

static void unknown_template_is_refused(void **state)
{
    struct answer answer = begin(*state, 1, USER, "nothing", "0");
    assert_refused(&answer, ERR_NOT_FOUND, "template_not_found");
}

static void suspended_and_unknown_users_are_refused(void **state)
{
    struct answer answer = begin(*state, 1, SUSPENDED, "base", "0");
    assert_refused(&answer, ERR_DENIED, "user_suspended");
    answer = begin(*state, 1, NOBODY, "base", "0");
    assert_refused(&answer, ERR_NOT_FOUND, "user_not_found");
}

static int clear(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    query(fixture, "clear", NULL, &answer);
    turn_until(fixture->loop, &answer.done);
    postgres_run(fixture->postgres, "DELETE FROM api_keys");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres, "INSERT INTO users (id, suspended_at) VALUES ('" USER
                                   "', NULL), ('" SUSPENDED "', now())");
    const struct pg_options options = {.url = postgres_url(fixture.postgres),
                                       .connections = CONNECTIONS,
                                       .statements = statements,
                                       .statement_count = 3,
                                       .statement_timeout_ms = 5000};
    fixture.loop = loop_new(&err);
    fixture.pool = pg_pool_open(fixture.loop, &options, &err);
    assert_non_null(fixture.pool);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    pg_pool_close(fixture->pool);
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(row_has_what_template_and_tier_say),
        TEST(shorter_life_is_granted_and_a_longer_one_is_not),
        TEST(third_sandbox_of_two_is_refused_until_one_ends),
        TEST(creates_at_once_do_not_slip_past_the_quota),
        TEST(a_keys_limit_counts_what_came_of_it),
        TEST(a_keys_limit_is_its_own),
        TEST(creates_at_once_do_not_slip_past_a_keys_limit),
        TEST(repeated_create_finds_its_sandbox),
        TEST(unknown_template_is_refused),
        TEST(suspended_and_unknown_users_are_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
