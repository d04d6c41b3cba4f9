/* sandbox-service/life/store.c: the time of sandboxes and their rest, against a real PostgreSQL
 * with our migrations and the service's own rights. */
#include "sandbox-service/life/store.h"

#include "common/base/clock.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <libpq-fe.h>

#define OWNER "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define BOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define LATER_BOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define WHERE_BOX " WHERE id = '" BOX "'"
#define INSERT_INTO                                                                                \
    "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status, network, "        \
    "instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at) "

enum { HOUR_MS = 3600 * 1000, MANY = 10000, STATUS_SIZE = 16, LEAD_MS = 60 * 1000 };

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct store *store;
};

struct answer {
    bool done;
    int rows;
    struct life_moved moved; /* its status is the member below */
    char status[STATUS_SIZE];
    bool has_next;
    int64_t next_ms;
};

static void on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
    answer->rows = pg_rows(result);
}

static void on_moved(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    on_rows(result, err, answer);
    if (answer->rows == 1) {
        life_read_moved(result, &answer->moved);
        assert_true(view_copy(answer->moved.status, answer->status, sizeof answer->status));
    }
}

static void on_next(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    on_rows(result, err, answer);
    answer->has_next = life_read_next(result, &answer->next_ms);
}

/* Runs the call with its store, call, done and answer put in. */
#define ASK(function, on_done, ...)                                                                \
    ({                                                                                             \
        struct answer answer_ = {0};                                                               \
        struct store_call call_;                                                                   \
        function(fixture->store, &call_, __VA_ARGS__, on_done, &answer_);                          \
        turn_until(fixture->loop, &answer_.done);                                                  \
        answer_;                                                                                   \
    })

static struct answer pause_box(struct fixture *fixture, const char *user_id, const char *mode)
{
    struct sandbox_pause request = {.sandbox_id = BOX, .mode = view_of(mode)};
    memcpy(request.user_id, user_id, ID_SIZE);
    return ASK(life_store_pause, on_moved, &request, "");
}

static struct answer resume_box(struct fixture *fixture, int64_t timeout_ms, bool is_automatic)
{
    const struct sandbox_resume request = {.sandbox_id = BOX,
                                           .user_id = OWNER,
                                           .timeout_ms = timeout_ms,
                                           .is_automatic = is_automatic};
    return ASK(life_store_resume, on_moved, &request, "");
}

static struct answer set_times(struct fixture *fixture, struct sandbox_times request)
{
    memcpy(request.sandbox_id, BOX, ID_SIZE);
    memcpy(request.user_id, OWNER, ID_SIZE);
    return ASK(life_store_set_times, on_moved, &request);
}

static void expect(const struct fixture *fixture, const char *what, const char *expected)
{
    char sql[512];
    (void)snprintf(sql, sizeof sql, "SELECT %s FROM sandboxes" WHERE_BOX, what);
    postgres_expect(fixture->postgres, sql, expected);
}

static int insert(void **state)
{
    const struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "INSERT INTO users (id) VALUES ('" OWNER "'), ('" OTHER "')");
    postgres_run(fixture->postgres,
                 INSERT_INTO "VALUES ('" BOX "', '" OWNER "', 'base', 'image', 'locked', 'free', "
                             "'running', 'none', 'test', 'node-1', 512, 1000, 256, 2, "
                             "now() + interval '1 hour')");
    return 0;
}

static int clear(void **state)
{
    const struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "DELETE FROM users");
    return 0;
}

static void pause_goes_by_its_states(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = pause_box(fixture, OWNER, PAUSE_FREEZE);
    assert_true(answer.moved.moved);
    assert_string_equal(answer.status, "running");
    expect(fixture, "status || ' ' || pause_reason", "pausing user");
    assert_false(pause_box(fixture, OWNER, PAUSE_FREEZE).moved.moved);
    assert_int_equal(ASK(life_store_paused, on_rows, BOX).rows, 1);
    assert_int_equal(ASK(life_store_paused, on_rows, BOX).rows, 0);
    expect(fixture, "concat_ws(' ', status, container_status, paused_at IS NOT NULL)",
           "paused paused t");
    assert_string_equal(pause_box(fixture, OWNER, PAUSE_DISK).status, "paused");
    expect(fixture, "pause_mode", "freeze");
}

static void sandboxes_of_others_are_not_there(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(pause_box(fixture, OTHER, PAUSE_FREEZE).rows, 0);
    expect(fixture, "status", "running");
}

static void pause_that_is_refused_leaves_it_running(void **state)
{
    struct fixture *fixture = *state;
    (void)pause_box(fixture, OWNER, PAUSE_FREEZE);
    assert_int_equal(ASK(life_store_not_paused, on_rows, BOX).rows, 1);
    expect(fixture, "concat_ws(' ', status, pause_mode, pause_reason)", "running");
}

static void clock_stands_while_it_is_paused(void **state)
{
    struct fixture *fixture = *state;
    (void)pause_box(fixture, OWNER, PAUSE_FREEZE);
    (void)ASK(life_store_paused, on_rows, BOX);
    expect(fixture, "left_ms BETWEEN 3590000 AND 3600000", "t");
    /* Its former end is long over. */
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET expires_at = now() - interval '3 hours'" WHERE_BOX);
    assert_int_equal(ASK(life_store_end_due, on_rows, 10).rows, 0);
    assert_true(resume_box(fixture, 0, false).moved.moved);
    expect(fixture, "expires_at - now() BETWEEN interval '59 minutes' AND interval '1 hour'", "t");
    assert_int_equal(ASK(life_store_resumed, on_rows, BOX).rows, 1);
    expect(fixture, "concat_ws(' ', status, pause_mode, left_ms, paused_at)", "running");
}

static void resume_takes_a_time_of_its_own(void **state)
{
    struct fixture *fixture = *state;
    (void)pause_box(fixture, OWNER, PAUSE_FREEZE);
    (void)ASK(life_store_paused, on_rows, BOX);
    assert_true(resume_box(fixture, (int64_t)10 * HOUR_MS, false).moved.moved);
    /* As much as its tier has. */
    expect(fixture, "expires_at - now() BETWEEN interval '119 minutes' AND interval '2 hours'",
           "t");
}

static void one_whose_time_was_over_gets_as_much_again(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "UPDATE sandboxes SET on_timeout = 'pause', "
                                    "awake_since = now() - interval '30 minutes', "
                                    "expires_at = now()" WHERE_BOX);
    assert_int_equal(ASK(life_store_end_due, on_rows, 10).rows, 0);
    assert_int_equal(ASK(life_store_pause_due, on_rows, 10).rows, 1);
    expect(fixture, "status || ' ' || pause_reason", "pausing timeout");
    (void)ASK(life_store_paused, on_rows, BOX);
    expect(fixture, "left_ms", "0");
    (void)resume_box(fixture, 0, true);
    expect(fixture, "expires_at - now() BETWEEN interval '29 minutes' AND interval '30 minutes'",
           "t");
}

static void traffic_does_not_wake_one_that_is_not_to_be_woken(void **state)
{
    struct fixture *fixture = *state;
    (void)set_times(fixture, (struct sandbox_times){
                                 .timeout_ms = -1, .idle_timeout_ms = -1, .has_auto_resume = true});
    (void)pause_box(fixture, OWNER, PAUSE_FREEZE);
    (void)ASK(life_store_paused, on_rows, BOX);
    const struct answer answer = resume_box(fixture, 0, true);
    assert_false(answer.moved.moved);
    assert_string_equal(answer.status, "paused");
    assert_true(resume_box(fixture, 0, false).moved.moved);
}

static void resume_that_fails_goes_back_to_rest(void **state)
{
    struct fixture *fixture = *state;
    (void)pause_box(fixture, OWNER, PAUSE_DISK);
    (void)ASK(life_store_paused, on_rows, BOX);
    assert_true(resume_box(fixture, 0, false).moved.on_disk);
    assert_int_equal(ASK(life_store_not_resumed, on_rows, BOX).rows, 1);
    expect(fixture, "status || ' ' || pause_mode", "pausing disk");
    assert_int_equal(ASK(life_store_paused, on_rows, BOX).rows, 1);
}

static void agent_brings_back_one_from_disk(void **state)
{
    struct fixture *fixture = *state;
    (void)pause_box(fixture, OWNER, PAUSE_DISK);
    (void)ASK(life_store_paused, on_rows, BOX);
    (void)resume_box(fixture, 0, false);
    (void)ASK(store_connect, on_rows, BOX, 1);
    expect(fixture, "concat_ws(' ', status, pause_mode, left_ms)", "running");
}

static void agent_that_connects_again_wakes_nothing(void **state)
{
    struct fixture *fixture = *state;
    (void)pause_box(fixture, OWNER, PAUSE_FREEZE);
    (void)ASK(store_connect, on_rows, BOX, 1);
    expect(fixture, "status", "pausing");
}

static void container_of_one_on_disk_may_end(void **state)
{
    struct fixture *fixture = *state;
    struct store_end end = {.reason = "error", .container_status = "exited", .error = ""};
    (void)pause_box(fixture, OWNER, PAUSE_DISK);
    assert_int_equal(ASK(store_end, on_rows, BOX, &end).rows, 0);
    end.is_gone = true;
    assert_int_equal(ASK(store_end, on_rows, BOX, &end).rows, 1);
    expect(fixture, "status", "stopping");
}

static void container_of_one_that_is_frozen_may_not(void **state)
{
    struct fixture *fixture = *state;
    const struct store_end end = {.reason = "error", .container_status = "exited", .error = ""};
    (void)pause_box(fixture, OWNER, PAUSE_FREEZE);
    (void)ASK(life_store_paused, on_rows, BOX);
    assert_int_equal(ASK(store_end, on_rows, BOX, &end).rows, 1);
}

static void times_are_cut_to_what_the_tier_has_left(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET awake_since = now() - interval '90 minutes'" WHERE_BOX);
    assert_true(
        set_times(fixture, (struct sandbox_times){.timeout_ms = HOUR_MS, .idle_timeout_ms = -1})
            .moved.moved);
    expect(fixture, "expires_at - awake_since", "02:00:00");
    (void)set_times(fixture, (struct sandbox_times){.timeout_ms = 1000, .idle_timeout_ms = -1});
    expect(fixture, "expires_at - now() <= interval '1 second'", "t");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'stopping'" WHERE_BOX);
    assert_false(
        set_times(fixture, (struct sandbox_times){.timeout_ms = HOUR_MS, .idle_timeout_ms = -1})
            .moved.moved);
}

static void one_that_is_idle_ends(void **state)
{
    struct fixture *fixture = *state;
    (void)set_times(fixture, (struct sandbox_times){.timeout_ms = -1, .idle_timeout_ms = 10000});
    expect(fixture, "ends_at - last_active_at", "00:00:10");
    assert_int_equal(ASK(life_store_end_due, on_rows, 10).rows, 0);
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET last_active_at = now() - interval '11 s'" WHERE_BOX);
    (void)ASK(life_store_active, on_rows, "{" BOX "}", "{5000}");
    assert_int_equal(ASK(life_store_end_due, on_rows, 10).rows, 0);
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET last_active_at = now() - interval '11 s'" WHERE_BOX);
    assert_int_equal(ASK(life_store_end_due, on_rows, 10).rows, 1);
    expect(fixture, "status || ' ' || end_reason", "stopping idle");
}

static void activity_is_never_set_back(void **state)
{
    struct fixture *fixture = *state;
    (void)set_times(fixture, (struct sandbox_times){.timeout_ms = -1, .idle_timeout_ms = 10000});
    (void)ASK(life_store_active, on_rows, "{" BOX "}", "{9000}");
    expect(fixture, "now() - last_active_at < interval '5 s'", "t");
}

static void expect_ok(PGconn *pg, const char *sql)
{
    PGresult *result = PQexec(pg, sql);
    assert_true(PQresultStatus(result) == PGRES_COMMAND_OK ||
                PQresultStatus(result) == PGRES_TUPLES_OK);
    PQclear(result);
}

static bool somebody_waits(void *arg)
{
    PGconn *pg = arg;
    PGresult *result = PQexec(pg, "SELECT FROM pg_locks WHERE NOT granted");
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    bool is_so = PQntuples(result) > 0;
    PQclear(result);
    return is_so;
}

/* Who waits for one has none behind it: another who takes them in this order never waits for it. */
static void activity_takes_its_rows_in_the_order_of_the_ids(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {0};
    struct store_call call;
    postgres_run(fixture->postgres,
                 INSERT_INTO "SELECT '" LATER_BOX "', user_id, template, image, profile, tier, "
                             "status, network, instance, node, memory_mb, cpu_milli, pids, "
                             "lifetime_hours, expires_at FROM sandboxes");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET idle_timeout_ms = 10000");
    PGconn *other = PQconnectdb(postgres_url(fixture->postgres));
    expect_ok(other, "BEGIN; SELECT FROM sandboxes" WHERE_BOX " FOR NO KEY UPDATE");
    life_store_active(fixture->store, &call, "{" LATER_BOX "," BOX "}", "{0,0}", on_rows, &answer);
    turn_until_true(fixture->loop, somebody_waits, other);
    expect_ok(other, "SELECT FROM sandboxes WHERE id = '" LATER_BOX "' FOR NO KEY UPDATE NOWAIT");
    expect_ok(other, "COMMIT");
    PQfinish(other);
    turn_until(fixture->loop, &answer.done);
}

static void each_end_is_announced_once(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(ASK(life_store_warn_due, on_rows, LEAD_MS, 10).rows, 0);
    (void)set_times(fixture, (struct sandbox_times){.timeout_ms = 30000, .idle_timeout_ms = -1});
    assert_int_equal(ASK(life_store_warn_due, on_rows, LEAD_MS, 10).rows, 1);
    assert_int_equal(ASK(life_store_warn_due, on_rows, LEAD_MS, 10).rows, 0);
    (void)set_times(fixture, (struct sandbox_times){.timeout_ms = 40000, .idle_timeout_ms = -1});
    assert_int_equal(ASK(life_store_warn_due, on_rows, LEAD_MS, 10).rows, 1);
}

static void next_is_the_announcement_then_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = ASK(life_store_next, on_next, LEAD_MS);
    assert_in_range(answer.next_ms, HOUR_MS - LEAD_MS - 10000, HOUR_MS - LEAD_MS);
    (void)set_times(fixture, (struct sandbox_times){.timeout_ms = 30000, .idle_timeout_ms = -1});
    answer = ASK(life_store_next, on_next, LEAD_MS);
    assert_true(answer.has_next && answer.next_ms <= 0);
    (void)ASK(life_store_warn_due, on_rows, LEAD_MS, 10);
    answer = ASK(life_store_next, on_next, LEAD_MS);
    assert_in_range(answer.next_ms, 20000, 30000);
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'stopping'" WHERE_BOX);
    assert_false(ASK(life_store_next, on_next, LEAD_MS).has_next);
}

/* Of ten thousand the next is found, and those that are due are ended, well within a second. */
static void many_are_due_to_the_second(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres,
                 INSERT_INTO "SELECT gen_random_uuid(), '" OWNER "', 'base', 'image', 'locked', "
                             "'free', 'running', 'none', 'test', 'node-1', 512, 1000, 256, 2, "
                             "now() + interval '1 hour' + n * interval '1 s' "
                             "FROM generate_series(1, 10000) AS n");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET expires_at = now() - interval '1 s' "
                                    "WHERE id IN (SELECT id FROM sandboxes LIMIT 300)");
    int64_t began_ms = clock_monotonic_ms();
    assert_true(ASK(life_store_next, on_next, LEAD_MS).next_ms < 0);
    assert_int_equal(ASK(life_store_end_due, on_rows, 500).rows, 300);
    assert_true(ASK(life_store_next, on_next, LEAD_MS).next_ms > 0);
    assert_true(clock_monotonic_ms() - began_ms < 5000);
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
        TEST(pause_goes_by_its_states),
        TEST(sandboxes_of_others_are_not_there),
        TEST(pause_that_is_refused_leaves_it_running),
        TEST(clock_stands_while_it_is_paused),
        TEST(resume_takes_a_time_of_its_own),
        TEST(one_whose_time_was_over_gets_as_much_again),
        TEST(traffic_does_not_wake_one_that_is_not_to_be_woken),
        TEST(resume_that_fails_goes_back_to_rest),
        TEST(agent_brings_back_one_from_disk),
        TEST(agent_that_connects_again_wakes_nothing),
        TEST(container_of_one_on_disk_may_end),
        TEST(container_of_one_that_is_frozen_may_not),
        TEST(times_are_cut_to_what_the_tier_has_left),
        TEST(one_that_is_idle_ends),
        TEST(activity_is_never_set_back),
        TEST(activity_takes_its_rows_in_the_order_of_the_ids),
        TEST(each_end_is_announced_once),
        TEST(next_is_the_announcement_then_the_end),
        TEST(many_are_due_to_the_second),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
