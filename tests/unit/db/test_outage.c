/* common/db/pg.c while its PostgreSQL goes and comes back. */
#include "common/db/pg.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    LONG_MS = 3600000, /* longer than a test waits: what ends before is ended by something else */
    TRIES = 10,
};

static const struct pg_statement statements[] = {
    {"one", "SELECT 1"},
    {"sleep", "SELECT pg_sleep($1::float8)"},
    {"sleepers", "SELECT count(*) FROM pg_stat_activity"
                 " WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"},
    {"ours", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'insien'"},
};
enum { STATEMENTS = sizeof statements / sizeof statements[0] };
static const struct pg_statement late_statements[] = {
    {"count", "SELECT count(*) FROM table_that_comes_later"},
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct pg_pool *pool;
};

struct answer {
    bool done;
    char text[16]; /* of the first column */
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
    (void)snprintf(answer->text, sizeof answer->text, "%s", pg_text(result, 0, 0));
}

static void begin(struct fixture *fixture, const char *statement, const char *value,
                  struct answer *answer)
{
    const struct pg_parameters parameters = {.values = {value}, .count = value == NULL ? 0 : 1};
    struct err err;
    *answer = (struct answer){0};
    assert_non_null(
        pg_query_begin(fixture->pool, statement, &parameters, LONG_MS, on_result, answer, &err));
}

static enum err_code ask(struct fixture *fixture, const char *statement)
{
    struct answer answer;
    begin(fixture, statement, NULL, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer.err.code;
}

static void open_pool(struct fixture *fixture, const struct pg_statement *table, size_t count)
{
    struct err err = {0};
    const struct pg_options options = {.url = postgres_url(fixture->postgres),
                                       .connections = 2,
                                       .statements = table,
                                       .statement_count = count,
                                       .statement_timeout_ms = LONG_MS};
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    fixture->pool = pg_pool_open(fixture->loop, &options, &err);
    assert_non_null(fixture->pool);
}

static bool is_up(void *arg)
{
    const struct fixture *fixture = arg;
    return pg_pool_is_up(fixture->pool);
}

static bool is_down(void *arg)
{
    return !is_up(arg);
}

static void restarted_server_is_found_again(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, statements, STATEMENTS);
    assert_int_equal(ask(fixture, "one"), ERR_NONE);
    postgres_stop(fixture->postgres, SIGINT);
    turn_until_true(fixture->loop, is_down, fixture);
    postgres_start_again(fixture->postgres);
    turn_until_true(fixture->loop, is_up, fixture);
    assert_int_equal(ask(fixture, "one"), ERR_NONE);
}

static bool counts(struct fixture *fixture, const char *statement, const char *count)
{
    struct answer answer;
    begin(fixture, statement, NULL, &answer);
    turn_until(fixture->loop, &answer.done);
    return strcmp(answer.text, count) == 0;
}

static bool has_a_sleeper(void *arg)
{
    return counts(arg, "sleepers", "1");
}

static bool has_both_connections(void *arg)
{
    return counts(arg, "ours", "2");
}

static void query_in_flight_when_the_server_dies_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    open_pool(fixture, statements, STATEMENTS);
    assert_int_equal(ask(fixture, "one"), ERR_NONE);
    begin(fixture, "sleep", "3600", &answer);
    turn_until_true(fixture->loop, has_a_sleeper, fixture);
    postgres_stop(fixture->postgres, SIGQUIT);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    postgres_start_again(fixture->postgres);
}

static void without_a_server_queries_fail_soon(void **state)
{
    struct fixture *fixture = *state;
    postgres_stop(fixture->postgres, SIGINT);
    open_pool(fixture, statements, STATEMENTS);
    assert_int_equal(ask(fixture, "one"), ERR_UNAVAILABLE);
    postgres_start_again(fixture->postgres);
}

/* It is short when connecting again takes less than a query waits, which is tried till then. */
static void query_of_a_short_outage_is_answered(void **state)
{
    struct fixture *fixture = *state;
    enum err_code code = ERR_UNAVAILABLE;
    open_pool(fixture, statements, STATEMENTS);
    for (int tries = 0; code == ERR_UNAVAILABLE && tries < TRIES; tries++) {
        turn_until_true(fixture->loop, has_both_connections, fixture);
        postgres_run(fixture->postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                        " WHERE application_name = 'insien'");
        turn_until_true(fixture->loop, is_down, fixture);
        code = ask(fixture, "one");
    }
    assert_int_equal(code, ERR_NONE);
}

static void pool_comes_up_when_the_tables_are_there(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, late_statements, 1);
    turn_for(fixture->loop, 200);
    assert_false(pg_pool_is_up(fixture->pool));
    postgres_run(fixture->postgres, "CREATE TABLE table_that_comes_later (id int)");
    turn_until_true(fixture->loop, is_up, fixture);
    assert_int_equal(ask(fixture, "count"), ERR_NONE);
}

static int close_pool(void **state)
{
    struct fixture *fixture = *state;
    pg_pool_close(fixture->pool);
    loop_free(fixture->loop);
    return 0;
}

static int start_server(void **state)
{
    static struct fixture fixture;
    fixture.postgres = postgres_start();
    *state = &fixture;
    return 0;
}

static int remove_server(void **state)
{
    struct fixture *fixture = *state;
    postgres_remove(fixture->postgres);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(restarted_server_is_found_again, close_pool),
        cmocka_unit_test_teardown(query_in_flight_when_the_server_dies_is_told, close_pool),
        cmocka_unit_test_teardown(without_a_server_queries_fail_soon, close_pool),
        cmocka_unit_test_teardown(query_of_a_short_outage_is_answered, close_pool),
        cmocka_unit_test_teardown(pool_comes_up_when_the_tables_are_there, close_pool),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
