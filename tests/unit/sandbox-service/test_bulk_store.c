/* sandbox-service/reconcile/store.c against a real PostgreSQL with our migrations. */
#include "sandbox-service/reconcile/store.h"

#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define RUNNING "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define CREATING "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define ENDED "aaaaaaaa-aaaa-4aaa-8aaa-000000000003"
#define NOBODYS "aaaaaaaa-aaaa-4aaa-8aaa-000000000009"

enum { TEXT_SIZE = 512 };

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct bulk_store *store;
    bool done;
    int rows;
    char ids[TEXT_SIZE];       /* one behind the other */
    char elsewhere[TEXT_SIZE]; /* of each, whether it is */
    char moment[TEXT_SIZE];
};

static void on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    int len = 0;
    assert_null(err);
    fixture->done = true;
    fixture->rows = pg_rows(result);
    fixture->ids[0] = '\0';
    for (int row = 0; row < fixture->rows && row < 3; row++) {
        len += snprintf(fixture->ids + len, TEXT_SIZE - (size_t)len, "%s ",
                        bulk_store_read_id(result, row));
    }
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    on_rows(result, err, arg);
    assert_true(view_copy(view_of(bulk_store_read_moment(result)), fixture->moment, TEXT_SIZE));
}

static void on_strange(const PGresult *result, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    int len = 0;
    on_rows(result, err, arg);
    for (int row = 0; row < fixture->rows; row++) {
        len += snprintf(fixture->elsewhere + len, TEXT_SIZE - (size_t)len, "%s ",
                        bulk_store_read_elsewhere(result, row) ? "yes" : "no");
    }
}

static void add_all(struct bulk_ids *ids)
{
    static const char all[][ID_SIZE] = {RUNNING, CREATING, ENDED, NOBODYS};
    bulk_ids_begin(ids);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(bulk_ids_add(ids, all[i]));
    }
}

static void turn(struct fixture *fixture)
{
    turn_until(fixture->loop, &fixture->done);
    fixture->done = false;
}

static void only_what_no_row_ever_told_of_is_unknown(void **state)
{
    struct fixture *fixture = *state;
    struct bulk_ids ids;
    struct err err = {0};
    add_all(&ids);
    assert_true(bulk_store_strange(fixture->store, &ids, on_strange, fixture, &err));
    bulk_ids_free(&ids);
    turn(fixture);
    assert_string_equal(fixture->ids, NOBODYS " ");
    assert_string_equal(fixture->elsewhere, "no ");
}

static void what_lives_on_another_node_is_told_apart(void **state)
{
    struct fixture *fixture = *state;
    struct bulk_ids ids;
    struct err err = {0};
    postgres_run(fixture->postgres, "UPDATE sandboxes SET node = 'node-2'");
    add_all(&ids);
    assert_true(bulk_store_strange(fixture->store, &ids, on_strange, fixture, &err));
    bulk_ids_free(&ids);
    turn(fixture);
    assert_string_equal(fixture->ids, RUNNING " " CREATING " " NOBODYS " ");
    assert_string_equal(fixture->elsewhere, "yes yes no ");
}

static void no_ids_are_a_question_too(void **state)
{
    struct fixture *fixture = *state;
    struct bulk_ids ids;
    struct err err = {0};
    bulk_ids_begin(&ids);
    assert_true(bulk_store_strange(fixture->store, &ids, on_rows, fixture, &err));
    bulk_ids_free(&ids);
    turn(fixture);
    assert_int_equal(fixture->rows, 0);
}

static void what_has_begun_and_not_ended_ends_and_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct bulk_ids ids;
    struct err err = {0};
    add_all(&ids);
    assert_true(bulk_store_end(fixture->store, &ids, "error", on_rows, fixture, &err));
    bulk_ids_free(&ids);
    turn(fixture);
    assert_string_equal(fixture->ids, RUNNING " ");
    postgres_expect(fixture->postgres,
                    "SELECT string_agg(status || ' ' || coalesce(end_reason, '-'), ',' ORDER BY id)"
                    " FROM sandboxes",
                    "stopping error,creating -,destroyed user");
    postgres_expect(fixture->postgres,
                    "SELECT action || detail::text FROM audit_log WHERE target = '" RUNNING "'",
                    "sandbox.ended{\"reason\": \"error\"}");
}

static void networks_of_what_runs_are_to_be_settled_anew(void **state)
{
    struct fixture *fixture = *state;
    struct bulk_ids ids;
    struct err err = {0};
    for (int i = 0; i < 2; i++) { /* the second time it is known already */
        add_all(&ids);
        assert_true(bulk_store_unsettle(fixture->store, &ids, on_rows, fixture, &err));
        bulk_ids_free(&ids);
        turn(fixture);
        assert_string_equal(fixture->ids, i == 0 ? RUNNING " " : "");
    }
    postgres_expect(fixture->postgres,
                    "SELECT string_agg(id::text, ' ') FROM sandboxes"
                    " WHERE network_applied <> network_version",
                    RUNNING);
}

static void ports_of_another_node_are_its_own(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    postgres_run(fixture->postgres,
                 "INSERT INTO ports (sandbox_id, container_port, visibility, instance, node)"
                 " SELECT id, 80, 'token', 'test', 'node-2' FROM sandboxes");
    assert_true(bulk_store_free_ports(fixture->store, on_rows, fixture, &err));
    turn(fixture);
    assert_int_equal(fixture->rows, 0);
}

static void ports_of_the_ended_are_freed_and_no_others(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    postgres_run(fixture->postgres,
                 "INSERT INTO ports (sandbox_id, container_port, visibility, instance, node)"
                 " SELECT id, 80, 'token', 'test', 'node-1' FROM sandboxes");
    assert_true(bulk_store_free_ports(fixture->store, on_rows, fixture, &err));
    turn(fixture);
    assert_string_equal(fixture->ids, ENDED " ");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM ports", "2");
}

static void what_ended_is_listed_once(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    char moment[TEXT_SIZE];
    assert_true(bulk_store_ended(fixture->store, NULL, on_ended, fixture, &err));
    turn(fixture);
    assert_string_equal(fixture->ids, ENDED " ");
    memcpy(moment, fixture->moment, sizeof moment);
    assert_true(bulk_store_ended(fixture->store, moment, on_ended, fixture, &err));
    turn(fixture);
    assert_string_equal(fixture->ids, " ");
}

static void there_is_a_bound_of_ids(void **state)
{
    (void)state;
    static const char id[ID_SIZE] = RUNNING;
    struct bulk_ids ids;
    bulk_ids_begin(&ids);
    for (int i = 0; i < BULK_MAX; i++) {
        assert_true(bulk_ids_add(&ids, id));
    }
    assert_false(bulk_ids_add(&ids, id));
    assert_false(ids.text.failed);
    bulk_ids_free(&ids);
}

#define SANDBOX_ROW(id, status, reason, ended)                                                     \
    "('" id "', '" USER "', 'base', 'x', 'sudo', 'free', '" status "', 'none', 'test', 'node-1', " \
    "1, 1, 1, 1, now(), " reason ", " ended ")"

static int open_store(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    const struct bulk_options options = {.url = postgres_service_url(fixture->postgres, "sandbox"),
                                         .instance = "test",
                                         .node = "node-1"};
    postgres_run(
        fixture->postgres,
        "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status,"
        " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at,"
        " end_reason, ended_at) VALUES " SANDBOX_ROW(
            RUNNING, "running", "NULL",
            "NULL") ", " SANDBOX_ROW(CREATING, "creating", "NULL",
                                     "NULL") ", " SANDBOX_ROW(ENDED, "destroyed", "'user'",
                                                              "now() - interval '1 hour'"));
    fixture->store = bulk_store_open(fixture->loop, &options, &err);
    assert_non_null(fixture->store);
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    (void)bulk_store_fail_all(fixture->store);
    bulk_store_close(fixture->store);
    postgres_run(fixture->postgres, "DELETE FROM sandboxes");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres, "INSERT INTO users (id) VALUES ('" USER "')");
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
        TEST(only_what_no_row_ever_told_of_is_unknown),
        TEST(what_lives_on_another_node_is_told_apart),
        TEST(no_ids_are_a_question_too),
        TEST(what_has_begun_and_not_ended_ends_and_is_told),
        TEST(networks_of_what_runs_are_to_be_settled_anew),
        TEST(ports_of_another_node_are_its_own),
        TEST(ports_of_the_ended_are_freed_and_no_others),
        TEST(what_ended_is_listed_once),
        cmocka_unit_test(there_is_a_bound_of_ids),
    };
    return cmocka_run_group_tests_name("sandbox_bulk_store", tests, open_all, close_all);
}
