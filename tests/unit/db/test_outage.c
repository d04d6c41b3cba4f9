/* common/db/pg.c while its PostgreSQL goes and comes back. */
#include "common/base/clock.h"
#include "common/db/pg.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

enum { FOUND_AGAIN_MS = 1500, TOLD_MS = 1500 };

static const struct pg_statement statements[] = {
    {"one", "SELECT 1"},
    {"sleep", "SELECT pg_sleep($1::float8)"},
};
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
    struct err err;
};

static void on_result(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    }
}

static void begin(struct fixture *fixture, const char *statement, const char *value,
                  struct answer *answer)
{
    const struct pg_parameters parameters = {.values = {value}, .count = value == NULL ? 0 : 1};
    struct err err;
    *answer = (struct answer){0};
    assert_non_null(
        pg_query_begin(fixture->pool, statement, &parameters, 8000, on_result, answer, &err));
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
                                       .statement_timeout_ms = 10000};
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
    open_pool(fixture, statements, 2);
    assert_int_equal(ask(fixture, "one"), ERR_NONE);
    postgres_stop(fixture->postgres, SIGINT);
    turn_until_true(fixture->loop, is_down, fixture);
    postgres_start_again(fixture->postgres);
    int64_t start_ms = clock_monotonic_ms();
    turn_until_true(fixture->loop, is_up, fixture);
    assert_in_range(clock_monotonic_ms() - start_ms, 0, FOUND_AGAIN_MS);
    assert_int_equal(ask(fixture, "one"), ERR_NONE);
}

static void query_in_flight_when_the_server_dies_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    open_pool(fixture, statements, 2);
    assert_int_equal(ask(fixture, "one"), ERR_NONE);
    begin(fixture, "sleep", "30", &answer);
    turn_for(fixture->loop, 50);
    postgres_stop(fixture->postgres, SIGQUIT);
    int64_t start_ms = clock_monotonic_ms();
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_in_range(clock_monotonic_ms() - start_ms, 0, TOLD_MS);
    postgres_start_again(fixture->postgres);
}

static void without_a_server_queries_fail_soon(void **state)
{
    struct fixture *fixture = *state;
    postgres_stop(fixture->postgres, SIGINT);
    open_pool(fixture, statements, 2);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask(fixture, "one"), ERR_UNAVAILABLE);
    assert_in_range(clock_monotonic_ms() - start_ms, 0, TOLD_MS);
    postgres_start_again(fixture->postgres);
}

static void query_of_a_short_outage_is_answered(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    open_pool(fixture, statements, 2);
    assert_int_equal(ask(fixture, "one"), ERR_NONE);
    postgres_run(fixture->postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                    " WHERE application_name = 'insien'");
    turn_until_true(fixture->loop, is_down, fixture);
    begin(fixture, "one", NULL, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_NONE);
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
