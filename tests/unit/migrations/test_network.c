/* The SQL functions of a sandbox's network, called as the sandbox-service does. */
#include "common/db/pg.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define POLICY "{\"allow\": [\"a.com\"]}"
#define RANGE "10.9.0.0/28"
enum { CONNECTIONS = 4, COLUMNS = 6, USABLE = 13 }; /* 16 less the host's and both ends */

static const struct pg_statement statements[] = {
    {"set", "SELECT network, host(network_address), network_version, old_network, status, "
            "network_policy FROM network_set($1, $2, $3, $4, $5)"},
    {"denied", "SELECT network_denied($1, $2, 2)"},
    {"denials", "SELECT string_agg(kind || ' ' || target || ' ' || attempts, ', ' "
                "ORDER BY kind, target) FROM network_denials WHERE sandbox_id = $1"},
    {"end", "UPDATE sandboxes SET status = 'destroyed', end_reason = 'user', ended_at = now() "
            "WHERE id = $1"},
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct pg_pool *pool;
};

struct answer {
    bool done;
    char columns[COLUMNS][96];
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
    for (int i = 0; i < COLUMNS && pg_rows(result) == 1 && i < PQnfields(result); i++) {
        (void)snprintf(answer->columns[i], sizeof answer->columns[i], "%s", pg_text(result, 0, i));
    }
}

static void begin(struct fixture *fixture, const char *statement,
                  const struct pg_parameters *parameters, struct answer *answer)
{
    struct err err;
    *answer = (struct answer){0};
    assert_non_null(
        pg_query_begin(fixture->pool, statement, parameters, 5000, on_result, answer, &err));
}

static struct answer query(struct fixture *fixture, const char *statement,
                           const struct pg_parameters *parameters)
{
    struct answer answer;
    begin(fixture, statement, parameters, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void sandbox_id(int number, char out[37])
{
    (void)snprintf(out, 37, "aaaaaaaa-aaaa-4aaa-8aaa-%012d", number);
}

static void begin_set(struct fixture *fixture, int number, const char *network,
                      struct answer *answer)
{
    char id[37];
    sandbox_id(number, id);
    const struct pg_parameters parameters = {.values = {id, USER, network, POLICY, RANGE},
                                             .count = 5};
    begin(fixture, "set", &parameters, answer);
}

static struct answer set(struct fixture *fixture, int number, const char *network)
{
    struct answer answer;
    begin_set(fixture, number, network, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer end(struct fixture *fixture, int number)
{
    char id[37];
    sandbox_id(number, id);
    const struct pg_parameters parameters = {.values = {id}, .count = 1};
    return query(fixture, "end", &parameters);
}

static void restricted_sandbox_has_an_address_of_the_range(void **state)
{
    struct answer answer = set(*state, 1, "restricted");
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_string_equal(answer.columns[0], "restricted");
    assert_int_equal(strncmp(answer.columns[1], "10.9.0.", 7), 0);
    assert_string_equal(answer.columns[2], "1");
    assert_string_equal(answer.columns[3], "none");
    assert_string_equal(answer.columns[5], POLICY);
}

static void address_stays_while_the_network_changes(void **state)
{
    struct answer first = set(*state, 1, "restricted");
    struct answer open = set(*state, 1, "open");
    assert_string_equal(open.columns[3], "restricted");
    assert_string_equal(open.columns[5], "{\"allow\": []}");
    struct answer again = set(*state, 1, "restricted");
    assert_string_equal(again.columns[1], first.columns[1]);
    assert_string_equal(again.columns[2], "3");
}

static void addresses_run_out_and_come_back(void **state)
{
    struct fixture *fixture = *state;
    struct answer answers[USABLE];
    for (int i = 0; i < USABLE; i++) {
        begin_set(fixture, i, "restricted", &answers[i]);
    }
    for (int i = 0; i < USABLE; i++) {
        turn_until(fixture->loop, &answers[i].done);
        assert_int_equal(answers[i].err.code, ERR_NONE);
        for (int other = 0; other < i; other++) {
            assert_string_not_equal(answers[i].columns[1], answers[other].columns[1]);
        }
    }
    struct answer answer = set(fixture, USABLE, "restricted");
    assert_int_equal(answer.err.code, ERR_LIMIT);
    assert_string_equal(answer.err.reason, "network_addresses_exhausted");
    answer = end(fixture, 3);
    assert_int_equal(answer.err.code, ERR_NONE);
    answer = set(fixture, USABLE, "restricted");
    assert_string_equal(answer.columns[1], answers[3].columns[1]);
}

static void ended_sandbox_and_that_of_others_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char id[37];
    sandbox_id(1, id);
    const struct pg_parameters parameters = {.values = {id, OTHER, "open", POLICY, RANGE},
                                             .count = 5};
    struct answer answer = query(fixture, "set", &parameters);
    assert_string_equal(answer.err.reason, "sandbox_not_found");
    assert_int_equal(end(fixture, 1).err.code, ERR_NONE);
    answer = set(fixture, 1, "open");
    assert_string_equal(answer.err.reason, "sandbox_ended");
}

static void denied_attempts_add_up_in_so_many_rows(void **state)
{
    struct fixture *fixture = *state;
    char id[37];
    sandbox_id(1, id);
    const struct pg_parameters which = {.values = {id}, .count = 1};
    static const char *const attempts[] = {
        "[{\"kind\": \"name\", \"target\": \"a.com\", \"attempts\": 2}]",
        "[{\"kind\": \"name\", \"target\": \"a.com\", \"attempts\": 1},"
        " {\"kind\": \"address\", \"target\": \"8.8.8.8:53/udp\", \"attempts\": 4}]",
        "[{\"kind\": \"name\", \"target\": \"b.com\", \"attempts\": 5},"
        " {\"kind\": \"other\", \"target\": \"\", \"attempts\": 7}]",
    };
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        const struct pg_parameters parameters = {.values = {id, attempts[i]}, .count = 2};
        assert_int_equal(query(fixture, "denied", &parameters).err.code, ERR_NONE);
    }
    assert_string_equal(query(fixture, "denials", &which).columns[0],
                        "address 8.8.8.8:53/udp 4, name a.com 3, other  12");
}

static void names_that_were_asked_for_go_with_their_user(void **state)
{
    struct fixture *fixture = *state;
    char id[37];
    sandbox_id(1, id);
    const struct pg_parameters denied = {
        .values = {id, "[{\"kind\": \"name\", \"target\": \"a.com\", \"attempts\": 1}]"},
        .count = 2};
    assert_int_equal(query(fixture, "denied", &denied).err.code, ERR_NONE);
    assert_int_equal(set(fixture, 1, "restricted").err.code, ERR_NONE);
    postgres_run(fixture->postgres, "SELECT user_delete('" USER "')");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM network_denials", "0");
    postgres_expect(fixture->postgres,
                    "SELECT count(*) FROM sandboxes WHERE network_policy::text LIKE '%a.com%'",
                    "0");
    assert_int_equal(query(fixture, "denied", &denied).err.code, ERR_NONE); /* it comes late */
    postgres_expect(fixture->postgres, "SELECT count(*) FROM network_denials", "0");
    postgres_run(fixture->postgres, "UPDATE users SET deleted_at = NULL, suspended_at = NULL");
}

static int make_sandboxes(void **state)
{
    struct fixture *fixture = *state;
    char sql[512];
    for (int i = 0; i <= USABLE; i++) {
        (void)snprintf(sql, sizeof sql,
                       "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status,"
                       " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours,"
                       " expires_at) VALUES ('aaaaaaaa-aaaa-4aaa-8aaa-%012d', '" USER
                       "', 'base', 'x', 'sudo', 'free', 'running', 'none', 'test', 'node-1', 1, 1,"
                       " 1, 1, now() + interval '1 hour')",
                       i);
        postgres_run(fixture->postgres, sql);
    }
    return 0;
}

static int clear(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "DELETE FROM sandboxes");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres, "INSERT INTO users (id) VALUES ('" USER "'), ('" OTHER "')");
    const struct pg_options options = {.url = postgres_url(fixture.postgres),
                                       .connections = CONNECTIONS,
                                       .statements = statements,
                                       .statement_count = sizeof statements / sizeof statements[0],
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_sandboxes, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(restricted_sandbox_has_an_address_of_the_range),
        TEST(address_stays_while_the_network_changes),
        TEST(addresses_run_out_and_come_back),
        TEST(ended_sandbox_and_that_of_others_are_refused),
        TEST(denied_attempts_add_up_in_so_many_rows),
        TEST(names_that_were_asked_for_go_with_their_user),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
