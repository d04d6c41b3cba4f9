/* sandbox-service/life/store.c: which sandboxes end by themselves, against a real PostgreSQL
 * with our migrations. */
#include "sandbox-service/life/store.h"

#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LEAVER "11111111-1111-4111-8111-111111111111"
#define STAYER "22222222-2222-4222-8222-222222222222"
#define LEAVERS "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define LEAVERS_ELSEWHERE "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define STAYERS "aaaaaaaa-aaaa-4aaa-8aaa-000000000003"
#define DYING "aaaaaaaa-aaaa-4aaa-8aaa-000000000004"
#define UNBORN "aaaaaaaa-aaaa-4aaa-8aaa-000000000005"
#define SANDBOX(id, user, node, expires)                                                           \
    "('" id "', '" user "', 'base', 'image', 'locked', 'free', 'running', 'none', 'test', '" node  \
    "', 512, 1000, 256, 2, " expires ")"

enum { ENDED_MAX = 4, REASON_SIZE = 16 };

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct store *store;
};

struct answer {
    bool done;
    int count;
    char ids[ENDED_MAX][ID_SIZE];
    char reasons[ENDED_MAX][REASON_SIZE];
};

static void on_expired(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
    assert_in_range(answer->count + pg_rows(result), 0, ENDED_MAX);
    for (int row = 0; row < pg_rows(result); row++, answer->count++) {
        assert_true(
            view_copy(view_of(store_read_id(result, row)), answer->ids[answer->count], ID_SIZE));
        assert_true(view_copy(view_of(life_read_reason(result, row)),
                              answer->reasons[answer->count], REASON_SIZE));
    }
}

static struct answer expire(struct fixture *fixture)
{
    struct answer answer = {0};
    struct store_call call;
    life_store_end_due(fixture->store, &call, ENDED_MAX, on_expired, &answer);
    turn_until(fixture->loop, &answer.done);
    answer.done = false;
    life_store_end_unserved(fixture->store, &call, ENDED_MAX, on_expired, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static int insert(void **state)
{
    const struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "INSERT INTO users (id) VALUES ('" LEAVER "'), ('" STAYER "')");
    postgres_run(
        fixture->postgres,
        "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status, "
        "network,"
        " instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at) "
        "VALUES " SANDBOX(LEAVERS, LEAVER, "node-1", "now() + interval '1 hour'") ", " SANDBOX(
            LEAVERS_ELSEWHERE, LEAVER, "node-2",
            "now() + interval '1 "
            "hour'") ", " SANDBOX(STAYERS, STAYER,
                                  "nod"
                                  "e-"
                                  "1",
                                  "now"
                                  "() "
                                  "+ "
                                  "int"
                                  "erv"
                                  "al "
                                  "'1 "
                                  "hou"
                                  "r"
                                  "'"));
    return 0;
}

static int clear(void **state)
{
    const struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "DELETE FROM users");
    return 0;
}

/* The audit trail has this of the sandbox, once, and its user can read it. */
static void expect_told(const struct fixture *fixture, const char *sandbox_id, const char *expected)
{
    char sql[256];
    (void)snprintf(
        sql, sizeof sql,
        "SELECT string_agg(concat_ws(' ', action, result, actor_user, user_id, target_kind, "
        "detail),"
        " ',') FROM audit_log LEFT JOIN audit_concerns ON audit_id = id WHERE target = '%s'",
        sandbox_id);
    postgres_expect(fixture->postgres, sql, expected);
}

static void sandboxes_whose_time_is_not_over_stay(void **state)
{
    assert_int_equal(expire(*state).count, 0);
}

static void sandbox_whose_time_is_over_ends(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET expires_at = now() WHERE id = '" STAYERS "'");
    const struct answer answer = expire(fixture);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.ids[0], STAYERS);
    assert_string_equal(answer.reasons[0], "timeout");
    expect_told(fixture, STAYERS, "sandbox.ended ok " STAYER " sandbox {\"reason\": \"timeout\"}");
    assert_int_equal(expire(fixture).count, 0);
    expect_told(fixture, STAYERS, "sandbox.ended ok " STAYER " sandbox {\"reason\": \"timeout\"}");
}

/* Of two that wait for what the other holds one would be ended by the database. */
static void a_sandbox_that_is_being_changed_ends_at_the_next_look(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET expires_at = now() WHERE node = 'node-1'");
    PGconn *other = PQconnectdb(postgres_url(fixture->postgres));
    PQclear(PQexec(other, "BEGIN; UPDATE sandboxes SET env = '{}' WHERE id = '" STAYERS "'"));
    assert_int_equal(PQtransactionStatus(other), PQTRANS_INTRANS);
    const struct answer answer = expire(fixture);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.ids[0], LEAVERS);
    PQclear(PQexec(other, "COMMIT"));
    PQfinish(other);
    const struct answer next = expire(fixture);
    assert_int_equal(next.count, 1);
    assert_string_equal(next.ids[0], STAYERS);
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
    answer->count = pg_rows(result);
}

static void sandbox_that_dies_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    const struct store_end end = {.reason = "oom", .container_status = "exited", .error = ""};
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET id = '" DYING "' WHERE id = '" STAYERS "'");
    for (int i = 0; i < 2; i++) {
        struct answer answer = {0};
        struct store_call call;
        store_end(fixture->store, &call, DYING, &end, on_ended, &answer);
        turn_until(fixture->loop, &answer.done);
        assert_int_equal(answer.count, i == 0 ? 1 : 0);
    }
    expect_told(fixture, DYING, "sandbox.ended ok " STAYER " sandbox {\"reason\": \"oom\"}");
}

static void sandbox_whose_agent_never_comes_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {0};
    struct store_call call;
    postgres_run(fixture->postgres, "UPDATE sandboxes SET id = '" UNBORN "', status = 'creating' "
                                    "WHERE id = '" STAYERS "'");
    store_fail(fixture->store, &call, UNBORN, "agent_lost", on_ended, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.count, 1);
    expect_told(fixture, UNBORN,
                "sandbox.ended ok " STAYER " sandbox {\"reason\": \"agent_lost\"}");
}

static void sandboxes_of_a_deleted_user_end_on_each_node(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "SELECT user_delete('" LEAVER "')");
    const struct answer answer = expire(fixture);
    assert_int_equal(answer.count, 1); /* the other node ends the other one */
    assert_string_equal(answer.ids[0], LEAVERS);
    assert_string_equal(answer.reasons[0], "user");
    expect_told(fixture, LEAVERS,
                "sandbox.ended ok " LEAVER " sandbox {\"reason\": \"user_deleted\"}");
    assert_int_equal(expire(fixture).count, 0);
}

static void sandboxes_of_a_suspended_user_end_on_each_node(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres,
                 "UPDATE users SET suspended_at = now() WHERE id = '" LEAVER "'");
    const struct answer answer = expire(fixture);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.ids[0], LEAVERS);
    assert_string_equal(answer.reasons[0], "suspended");
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    const struct store_options options = {.url = postgres_service_url(fixture.postgres, "sandbox"),
                                          .instance = "test",
                                          .node = "node-1",
                                          .limits = "{}",
                                          .more = life_statements,
                                          .more_count = life_statement_count};
    fixture.loop = loop_new(&err);
    fixture.store = store_open(fixture.loop, &options, &err);
    assert_non_null(fixture.store);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    (void)store_fail_all(fixture->store);
    store_close(fixture->store);
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, insert, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sandboxes_whose_time_is_not_over_stay),
        TEST(sandbox_whose_time_is_over_ends),
        TEST(sandbox_that_dies_is_told_once),
        TEST(sandbox_whose_agent_never_comes_is_told),
        TEST(sandboxes_of_a_deleted_user_end_on_each_node),
        TEST(sandboxes_of_a_suspended_user_end_on_each_node),
        TEST(a_sandbox_that_is_being_changed_ends_at_the_next_look),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
