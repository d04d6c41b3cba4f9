/* common/db/pg.c against a real PostgreSQL. */
#include "common/db/pg.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_TEXT = 4 * 1024 * 1024, AMPLE_MS = 60000, TRIES = 10 };

#define RAISE_FUNCTION                                                                             \
    "CREATE FUNCTION raise_it(state text, message text) RETURNS void LANGUAGE plpgsql AS"          \
    " $$ BEGIN RAISE EXCEPTION '%', message USING ERRCODE = state; END $$"

static const struct pg_statement statements[] = {
    {"add", "SELECT $1::int + $2::int, $3::text"},
    {"raise", "SELECT raise_it($1, $2)"},
    {"insert", "INSERT INTO things VALUES ($1::int)"},
    {"divide", "SELECT 1 / $1::int"},
    {"sleep", "SELECT pg_sleep($1::float8)"},
    {"length", "SELECT length($1)"},
    {"values", "SELECT true, false, NULL::text, -12::bigint FROM generate_series(1, 2)"},
    {"zone", "SHOW timezone"},
    {"backends", "SELECT count(*), string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity"
                 " WHERE application_name = 'insien' AND datname = current_database()"},
    {"backend", "SELECT pg_backend_pid()"},
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct pg_pool *pool;
};

/* One query and what came of it. */
struct answer {
    bool done;
    int calls;
    bool ok;
    int rows;
    char text[64]; /* of the first column */
    char second[64];
    struct err err;
};

static void on_result(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    answer->ok = err == NULL;
    assert_true((result == NULL) == (err != NULL));
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    answer->rows = pg_rows(result);
    if (answer->rows > 0) {
        (void)snprintf(answer->text, sizeof answer->text, "%s", pg_text(result, 0, 0));
    }
    if (answer->rows > 0 && PQnfields(result) > 1) {
        (void)snprintf(answer->second, sizeof answer->second, "%s", pg_text(result, 0, 1));
    }
}

static struct pg_query *begin(struct fixture *fixture, const char *statement,
                              const struct pg_parameters *parameters, int64_t timeout_ms,
                              struct answer *answer)
{
    struct err err = {0};
    *answer = (struct answer){0};
    struct pg_query *query =
        pg_query_begin(fixture->pool, statement, parameters, timeout_ms, on_result, answer, &err);
    if (query == NULL) {
        fail_msg("%s", err.message);
    }
    assert_false(answer->done); /* never from inside begin */
    return query;
}

static struct answer ask(struct fixture *fixture, const char *statement,
                         const struct pg_parameters *parameters)
{
    struct answer answer;
    (void)begin(fixture, statement, parameters, AMPLE_MS, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.calls, 1);
    return answer;
}

static struct answer raise_it(struct fixture *fixture, const char *sqlstate, const char *message)
{
    const struct pg_parameters parameters = {.values = {sqlstate, message}, .count = 2};
    return ask(fixture, "raise", &parameters);
}

static void parameters_and_answer_cross(void **state)
{
    const struct pg_parameters parameters = {.values = {"40", "2", "a 'text'"}, .count = 3};
    struct answer answer = ask(*state, "add", &parameters);
    assert_true(answer.ok);
    assert_string_equal(answer.text, "42");
    assert_string_equal(answer.second, "a 'text'");
}

static void null_parameter_is_null(void **state)
{
    const struct pg_parameters parameters = {.values = {"40", NULL, NULL}, .count = 3};
    struct answer answer = ask(*state, "add", &parameters);
    assert_true(answer.ok);
    assert_string_equal(answer.text, "");
}

static void on_values(const PGresult *result, const struct err *err, void *arg)
{
    bool *done = arg;
    *done = true;
    assert_null(err);
    assert_int_equal(pg_rows(result), 2);
    assert_true(pg_bool(result, 1, 0));
    assert_false(pg_bool(result, 1, 1));
    assert_true(pg_is_null(result, 1, 2));
    assert_string_equal(pg_text(result, 1, 2), "");
    assert_int_equal(pg_int(result, 1, 3), -12);
}

static void columns_are_read_by_their_kind(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    bool done = false;
    assert_non_null(
        pg_query_begin(fixture->pool, "values", NULL, AMPLE_MS, on_values, &done, &err));
    turn_until(fixture->loop, &done);
}

static void sessions_are_in_utc(void **state)
{
    assert_string_equal(ask(*state, "zone", NULL).text, "UTC");
}

static void our_own_errors_keep_their_reason(void **state)
{
    static const struct {
        const char *sqlstate;
        enum err_code code;
    } cases[] = {
        {"IN403", ERR_DENIED}, {"IN404", ERR_NOT_FOUND}, {"IN409", ERR_CONFLICT},
        {"IN429", ERR_LIMIT},  {"IN400", ERR_INVALID},   {"IN401", ERR_UNAUTHENTICATED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer = raise_it(*state, cases[i].sqlstate, "quota_exceeded");
        assert_int_equal(answer.err.code, cases[i].code);
        assert_string_equal(answer.err.reason, "quota_exceeded");
    }
}

static void states_of_the_server_are_translated(void **state)
{
    static const struct {
        const char *sqlstate;
        enum err_code code;
    } cases[] = {
        {"57014", ERR_TIMEOUT},     {"57P01", ERR_UNAVAILABLE}, {"08006", ERR_UNAVAILABLE},
        {"53300", ERR_UNAVAILABLE}, {"40P01", ERR_UNAVAILABLE}, {"42601", ERR_INTERNAL},
        {"22012", ERR_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(raise_it(*state, cases[i].sqlstate, "x").err.code, cases[i].code);
    }
}

static void second_row_of_a_unique_key_is_a_conflict(void **state)
{
    const struct pg_parameters parameters = {.values = {"1"}, .count = 1};
    assert_true(ask(*state, "insert", &parameters).ok);
    struct answer answer = ask(*state, "insert", &parameters);
    assert_int_equal(answer.err.code, ERR_CONFLICT);
    assert_string_equal(answer.err.reason, "unique_violation");
}

static void failed_statement_says_which_and_why(void **state)
{
    const struct pg_parameters parameters = {.values = {"0"}, .count = 1};
    struct answer answer = ask(*state, "divide", &parameters);
    assert_int_equal(answer.err.code, ERR_INTERNAL);
    assert_non_null(strstr(answer.err.message, "divide"));
    assert_non_null(strstr(answer.err.message, "division by zero"));
}

static void server_ends_a_statement_that_takes_too_long(void **state)
{
    const struct pg_parameters parameters = {.values = {"30"}, .count = 1};
    struct answer answer = ask(*state, "sleep", &parameters); /* statement_timeout_ms */
    assert_int_equal(answer.err.code, ERR_TIMEOUT);
}

static void query_out_of_time_frees_its_connection(void **state)
{
    struct fixture *fixture = *state;
    const struct pg_parameters parameters = {.values = {"30"}, .count = 1};
    struct answer first;
    struct answer second;
    (void)begin(fixture, "sleep", &parameters, 50, &first);
    (void)begin(fixture, "sleep", &parameters, 50, &second);
    turn_until(fixture->loop, &first.done);
    turn_until(fixture->loop, &second.done);
    assert_int_equal(first.err.code, ERR_TIMEOUT);
    assert_int_equal(second.err.code, ERR_TIMEOUT);
    assert_string_equal(ask(fixture, "zone", NULL).text, "UTC");
}

static void queries_over_the_connections_wait_their_turn(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 50 };
    struct answer answers[COUNT];
    char numbers[COUNT][12];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(numbers[i], sizeof numbers[i], "%d", i);
        const struct pg_parameters parameters = {.values = {numbers[i], "0", NULL}, .count = 3};
        (void)begin(fixture, "add", &parameters, AMPLE_MS, &answers[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        turn_until(fixture->loop, &answers[i].done);
        assert_string_equal(answers[i].text, numbers[i]);
    }
}

static void query_that_gets_no_connection_in_time_times_out(void **state)
{
    struct fixture *fixture = *state;
    const struct pg_parameters parameters = {.values = {"0.3"}, .count = 1};
    struct answer busy[2];
    struct answer waiting;
    (void)begin(fixture, "sleep", &parameters, AMPLE_MS, &busy[0]);
    (void)begin(fixture, "sleep", &parameters, AMPLE_MS, &busy[1]);
    (void)begin(fixture, "zone", NULL, 30, &waiting);
    turn_until(fixture->loop, &waiting.done);
    assert_int_equal(waiting.err.code, ERR_TIMEOUT);
    turn_until(fixture->loop, &busy[0].done);
    turn_until(fixture->loop, &busy[1].done);
    assert_true(busy[0].ok && busy[1].ok);
}

/* Those of pools that were closed before may still be about. */
static bool has_two_backends(void *arg)
{
    return strcmp(ask(arg, "backends", NULL).text, "2") == 0;
}

static void query_without_time_costs_no_connection(void **state)
{
    struct fixture *fixture = *state;
    struct answer late;
    turn_until_true(fixture->loop, has_two_backends, fixture);
    struct answer before = ask(fixture, "backends", NULL);
    (void)begin(fixture, "zone", NULL, 0, &late);
    turn_until(fixture->loop, &late.done);
    assert_int_equal(late.err.code, ERR_TIMEOUT);
    turn_for(fixture->loop, 100);
    struct answer after = ask(fixture, "backends", NULL);
    assert_string_equal(before.text, "2");
    assert_string_equal(before.second, after.second);
}

/* Both begin before the one connection is up. */
static void ask_at_once(struct fixture *fixture, struct answer *running, struct answer *waiting)
{
    struct err err;
    const struct pg_options options = {
        .url = postgres_url(fixture->postgres),
        .connections = 1,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = AMPLE_MS,
    };
    struct fixture other = {.loop = fixture->loop};
    other.pool = pg_pool_open(fixture->loop, &options, &err);
    assert_non_null(other.pool);
    const struct pg_parameters parameters = {.values = {"1.3"}, .count = 1};
    (void)begin(&other, "sleep", &parameters, AMPLE_MS, running);
    (void)begin(&other, "zone", NULL, AMPLE_MS, waiting);
    turn_until(fixture->loop, &running->done);
    turn_until(fixture->loop, &waiting->done);
    pg_pool_close(other.pool);
}

/* The first query keeps the one connection for longer than a query waits for a server that is
 * away. Where even connecting takes so long, nothing is shown, and it is tried again. */
static void query_begun_before_the_connection_keeps_its_time(void **state)
{
    struct answer running;
    struct answer waiting;
    int tries = 0;
    do {
        ask_at_once(*state, &running, &waiting);
    } while (running.err.code == ERR_UNAVAILABLE && ++tries < TRIES);
    assert_true(running.ok);
    assert_true(waiting.ok);
}

static void full_queue_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {0};
    struct err err = {0};
    int begun = 0;
    while (pg_query_begin(fixture->pool, "zone", NULL, AMPLE_MS, on_result, &answer, &err) !=
           NULL) {
        begun++;
    }
    assert_int_equal(begun, PG_QUEUE_MAX + 2); /* two are with the connections */
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.reason, "busy");
    while (answer.calls < begun) {
        answer.done = false;
        turn_until(fixture->loop, &answer.done);
    }
}

static void cancelled_query_is_not_heard_of(void **state)
{
    struct fixture *fixture = *state;
    const struct pg_parameters parameters = {.values = {"0.05"}, .count = 1};
    struct answer running[2];
    struct answer waiting;
    struct pg_query *first = begin(fixture, "sleep", &parameters, AMPLE_MS, &running[0]);
    struct pg_query *second = begin(fixture, "sleep", &parameters, AMPLE_MS, &running[1]);
    struct pg_query *third = begin(fixture, "zone", NULL, AMPLE_MS, &waiting);
    pg_query_cancel(third);
    pg_query_cancel(first);
    pg_query_cancel(second);
    assert_string_equal(ask(fixture, "zone", NULL).text, "UTC");
    turn_for(fixture->loop, 100);
    assert_int_equal(running[0].calls + running[1].calls + waiting.calls, 0);
}

/* More than a socket takes at once. */
static void long_parameter_crosses(void **state)
{
    char *text = malloc(LONG_TEXT + 1);
    assert_non_null(text);
    memset(text, 'x', LONG_TEXT);
    text[LONG_TEXT] = '\0';
    const struct pg_parameters parameters = {.values = {text}, .count = 1};
    struct answer answer = ask(*state, "length", &parameters);
    free(text);
    assert_string_equal(answer.text, "4194304");
}

struct closer {
    struct fixture *fixture;
    bool done;
};

static void close_pool(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct closer *closer = arg;
    assert_null(err);
    pg_pool_close(closer->fixture->pool);
    closer->done = true;
}

static void pool_may_be_closed_by_a_callback_and_ends_the_rest(void **state)
{
    struct fixture *fixture = *state;
    const struct pg_parameters parameters = {.values = {"30"}, .count = 1};
    struct closer closer = {.fixture = fixture};
    struct answer running;
    struct answer waiting;
    struct err err;
    (void)begin(fixture, "sleep", &parameters, AMPLE_MS, &running);
    assert_non_null(
        pg_query_begin(fixture->pool, "zone", NULL, AMPLE_MS, close_pool, &closer, &err));
    (void)begin(fixture, "sleep", &parameters, AMPLE_MS, &waiting);
    turn_until(fixture->loop, &closer.done);
    fixture->pool = NULL;
    assert_int_equal(running.err.code, ERR_UNAVAILABLE);
    assert_int_equal(waiting.err.code, ERR_UNAVAILABLE);
}

static void pool_that_failed_all_takes_nothing_more(void **state)
{
    struct fixture *fixture = *state;
    const struct pg_parameters parameters = {.values = {"30"}, .count = 1};
    struct answer running;
    struct answer asked = {.done = false};
    struct err err = {0};
    (void)begin(fixture, "sleep", &parameters, AMPLE_MS, &running);
    assert_true(pg_ask(fixture->pool, "zone", NULL, on_result, &asked, &err));
    assert_true(pg_pool_fail_all(fixture->pool));
    assert_int_equal(running.err.code, ERR_UNAVAILABLE);
    assert_int_equal(asked.err.code, ERR_UNAVAILABLE);
    assert_false(pg_pool_is_up(fixture->pool));
    assert_false(pg_ask(fixture->pool, "zone", NULL, on_result, &asked, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_false(pg_pool_fail_all(fixture->pool));
}

static bool is_up(void *arg)
{
    const struct fixture *fixture = arg;
    return pg_pool_is_up(fixture->pool);
}

/* Two queries at once are answered by two backends. */
static bool are_both_up(void *arg)
{
    struct answer first;
    struct answer second;
    (void)begin(arg, "backend", NULL, AMPLE_MS, &first);
    (void)begin(arg, "backend", NULL, AMPLE_MS, &second);
    turn_until(((struct fixture *)arg)->loop, &first.done);
    turn_until(((struct fixture *)arg)->loop, &second.done);
    return strcmp(first.text, second.text) != 0;
}

static int open_pool(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    const struct pg_options options = {
        .url = postgres_url(fixture->postgres),
        .connections = 2,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = 2000,
    };
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    fixture->pool = pg_pool_open(fixture->loop, &options, &err);
    assert_non_null(fixture->pool);
    turn_until_true(fixture->loop, is_up, fixture);
    turn_until_true(fixture->loop, are_both_up, fixture);
    return 0;
}

static int close_fixture_pool(void **state)
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
    postgres_run(fixture.postgres, "CREATE TABLE things (id int PRIMARY KEY)");
    postgres_run(fixture.postgres, RAISE_FUNCTION);
    *state = &fixture;
    return 0;
}

static int remove_server(void **state)
{
    struct fixture *fixture = *state;
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pool, close_fixture_pool)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parameters_and_answer_cross),
        TEST(null_parameter_is_null),
        TEST(columns_are_read_by_their_kind),
        TEST(sessions_are_in_utc),
        TEST(our_own_errors_keep_their_reason),
        TEST(states_of_the_server_are_translated),
        TEST(second_row_of_a_unique_key_is_a_conflict),
        TEST(failed_statement_says_which_and_why),
        TEST(server_ends_a_statement_that_takes_too_long),
        TEST(query_out_of_time_frees_its_connection),
        TEST(queries_over_the_connections_wait_their_turn),
        TEST(query_that_gets_no_connection_in_time_times_out),
        TEST(query_without_time_costs_no_connection),
        TEST(query_begun_before_the_connection_keeps_its_time),
        TEST(full_queue_is_refused),
        TEST(cancelled_query_is_not_heard_of),
        TEST(long_parameter_crosses),
        TEST(pool_may_be_closed_by_a_callback_and_ends_the_rest),
        TEST(pool_that_failed_all_takes_nothing_more),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
