/* sandbox-service/ports/store.c against a real PostgreSQL with our migrations. */
#include "sandbox-service/ports/store.h"

#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define STRANGER "22222222-2222-4222-8222-222222222222"
#define FIRST "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define SECOND "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define ELSEWHERE "aaaaaaaa-aaaa-4aaa-8aaa-000000000003" /* on another node */
#define NOBODYS "aaaaaaaa-aaaa-4aaa-8aaa-000000000009"

enum { RANGE_FIRST = 30000, RANGE_LAST = 30003, RANGE_PORTS = 4, AT_ONCE = 24 };

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct port_store *store;
};

/* What came back of one question. */
struct answer {
    bool done;
    int rows;
    struct port_row row; /* the first */
    bool has_port;
    bool removed;
    struct port_owner owner;
    struct err err;
};

static void on_exposed(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    answer->rows = pg_rows(result);
    port_store_read_row(result, 0, &answer->row);
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
    answer->rows = pg_rows(result);
    if (answer->rows > 0) {
        answer->has_port = port_store_has_port(result, 0);
        port_store_read_owner(result, &answer->owner);
    }
    if (answer->has_port) {
        port_store_read_row(result, 0, &answer->row);
    }
}

static void on_removed(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
    answer->rows = pg_rows(result);
    answer->removed = answer->rows > 0 && port_store_read_removed(result);
}

static struct port_expose wish(const char *sandbox_id, int64_t container_port)
{
    struct port_expose expose = {.visibility = VIEW(PORT_TOKEN),
                                 .container_port = container_port,
                                 .host_port_first = RANGE_FIRST,
                                 .host_port_last = RANGE_LAST};
    assert_true(view_copy(view_of(sandbox_id), expose.sandbox_id, ID_SIZE));
    assert_true(view_copy(VIEW(USER), expose.user_id, ID_SIZE));
    return expose;
}

static void begin_expose(struct fixture *fixture, const struct port_expose *expose,
                         struct answer *answer)
{
    *answer = (struct answer){0};
    assert_true(port_store_expose(fixture->store, expose, on_exposed, answer, &answer->err));
}

static struct answer expose_as(struct fixture *fixture, const struct port_expose *expose)
{
    struct answer answer;
    begin_expose(fixture, expose, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer expose(struct fixture *fixture, const char *sandbox_id, int64_t container_port)
{
    const struct port_expose wanted = wish(sandbox_id, container_port);
    return expose_as(fixture, &wanted);
}

static struct answer list(struct fixture *fixture, const char *sandbox_id)
{
    struct answer answer = {0};
    assert_true(port_store_list(fixture->store, sandbox_id, on_listed, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer remove_port(struct fixture *fixture, const char *user_id,
                                 int64_t container_port)
{
    struct answer answer = {0};
    struct port_close close = {.sandbox_id = FIRST, .container_port = container_port};
    assert_true(view_copy(view_of(user_id), close.user_id, ID_SIZE));
    assert_true(port_store_remove(fixture->store, &close, on_removed, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void assert_refused(const struct answer *answer, enum err_code code, const char *reason)
{
    assert_int_equal(answer->err.code, code);
    assert_string_equal(answer->err.reason, reason);
}

static void exposed_port_gets_a_port_of_the_range(void **state)
{
    struct answer answer = expose(*state, FIRST, 8080);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_int_equal(answer.row.container_port, 8080);
    assert_in_range(answer.row.host_port, RANGE_FIRST, RANGE_LAST);
    assert_false(answer.row.is_public);
    assert_int_equal(strlen(answer.row.generation), ID_SIZE - 1);
    assert_int_equal(strlen(answer.row.created_at), CLOCK_ISO_SIZE - 1);
}

static void exposing_again_changes_the_visibility_and_nothing_else(void **state)
{
    struct port_expose wanted = wish(FIRST, 8080);
    struct answer before = expose_as(*state, &wanted);
    wanted.visibility = VIEW(PORT_PUBLIC);
    struct answer after = expose_as(*state, &wanted);
    assert_true(after.row.is_public);
    assert_int_equal(after.row.host_port, before.row.host_port);
    assert_string_equal(after.row.generation, before.row.generation);
    assert_string_equal(after.row.created_at, before.row.created_at);
    assert_int_equal(list(*state, FIRST).rows, 1);
}

static void port_exposed_anew_has_another_generation(void **state)
{
    struct answer before = expose(*state, FIRST, 8080);
    assert_true(remove_port(*state, USER, 8080).removed);
    struct answer after = expose(*state, FIRST, 8080);
    assert_string_not_equal(after.row.generation, before.row.generation);
}

static void without_a_range_there_is_no_host_port(void **state)
{
    struct port_expose wanted = wish(FIRST, 8080);
    wanted.host_port_first = 0;
    wanted.host_port_last = 0;
    assert_int_equal(expose_as(*state, &wanted).row.host_port, 0);
    /* The range comes, and goes again. */
    assert_in_range(expose(*state, FIRST, 8080).row.host_port, RANGE_FIRST, RANGE_LAST);
    assert_int_equal(expose_as(*state, &wanted).row.host_port, 0);
}

static void port_outside_a_new_range_is_replaced(void **state)
{
    struct port_expose wanted = wish(FIRST, 8080);
    assert_in_range(expose_as(*state, &wanted).row.host_port, RANGE_FIRST, RANGE_LAST);
    wanted.host_port_first = 31000;
    wanted.host_port_last = 31000;
    assert_int_equal(expose_as(*state, &wanted).row.host_port, 31000);
}

static void taken_port_is_left_for_the_next_one(void **state)
{
    bool seen[RANGE_PORTS] = {false};
    struct port_expose wanted = wish(FIRST, 8080);
    for (int i = 0; i < RANGE_PORTS; i++) {
        struct answer answer = expose_as(*state, &wanted);
        assert_int_equal(answer.err.code, ERR_NONE);
        assert_false(seen[answer.row.host_port - RANGE_FIRST]);
        seen[answer.row.host_port - RANGE_FIRST] = true;
        wanted.taken_port = answer.row.host_port;
    }
}

static void taken_port_that_was_left_already_changes_nothing(void **state)
{
    struct port_expose wanted = wish(FIRST, 8080);
    struct answer before = expose_as(*state, &wanted);
    wanted.taken_port = before.row.host_port == RANGE_FIRST ? RANGE_FIRST + 1 : RANGE_FIRST;
    assert_int_equal(expose_as(*state, &wanted).row.host_port, before.row.host_port);
}

static void range_is_used_up_to_the_last_port_and_then_refused(void **state)
{
    bool seen[RANGE_PORTS] = {false};
    for (int i = 0; i < RANGE_PORTS; i++) {
        struct answer answer = expose(*state, i % 2 == 0 ? FIRST : SECOND, 8000 + i);
        assert_int_equal(answer.err.code, ERR_NONE);
        assert_false(seen[answer.row.host_port - RANGE_FIRST]);
        seen[answer.row.host_port - RANGE_FIRST] = true;
    }
    struct answer answer = expose(*state, FIRST, 9000);
    assert_refused(&answer, ERR_LIMIT, "host_ports_exhausted");
    assert_true(remove_port(*state, USER, 8000).removed);
    assert_int_equal(expose(*state, FIRST, 9000).err.code, ERR_NONE);
}

static void last_free_port_is_always_found(void **state)
{
    for (int i = 0; i < RANGE_PORTS; i++) {
        assert_int_equal(expose(*state, FIRST, 8000 + i).err.code, ERR_NONE);
    }
    for (int i = 0; i < AT_ONCE; i++) {
        assert_true(remove_port(*state, USER, 8000 + i % RANGE_PORTS).removed);
        assert_int_equal(expose(*state, FIRST, 8000 + i % RANGE_PORTS).err.code, ERR_NONE);
    }
}

static void ports_of_another_machine_are_its_own(void **state)
{
    struct port_expose wanted = wish(FIRST, 8080);
    wanted.host_port_last = RANGE_FIRST;
    assert_int_equal(expose_as(*state, &wanted).row.host_port, RANGE_FIRST);
    wanted = wish(ELSEWHERE, 8080);
    wanted.host_port_last = RANGE_FIRST;
    assert_int_equal(expose_as(*state, &wanted).row.host_port, RANGE_FIRST);
}

static void exposes_at_once_do_not_collide(void **state)
{
    struct fixture *fixture = *state;
    struct answer answers[AT_ONCE];
    bool seen[AT_ONCE] = {false};
    for (int i = 0; i < AT_ONCE; i++) {
        struct port_expose wanted = wish(i % 2 == 0 ? FIRST : SECOND, 8000 + i);
        wanted.host_port_last = RANGE_FIRST + AT_ONCE - 1;
        begin_expose(fixture, &wanted, &answers[i]);
    }
    for (int i = 0; i < AT_ONCE; i++) {
        turn_until(fixture->loop, &answers[i].done);
        assert_int_equal(answers[i].err.code, ERR_NONE);
        int at = answers[i].row.host_port - RANGE_FIRST;
        assert_in_range(at, 0, AT_ONCE - 1);
        assert_false(seen[at]);
        seen[at] = true;
    }
}

static void sandbox_has_so_many_ports_and_no_more(void **state)
{
    struct port_expose wanted = wish(FIRST, 0);
    wanted.host_port_first = 0;
    for (int i = 1; i <= SANDBOX_PORTS_MAX; i++) {
        wanted.container_port = i;
        assert_int_equal(expose_as(*state, &wanted).err.code, ERR_NONE);
    }
    wanted.container_port = SANDBOX_PORTS_MAX;
    assert_int_equal(expose_as(*state, &wanted).err.code, ERR_NONE); /* has it already */
    wanted.container_port = SANDBOX_PORTS_MAX + 1;
    struct answer answer = expose_as(*state, &wanted);
    assert_refused(&answer, ERR_LIMIT, "port_quota_exceeded");
    assert_int_equal(list(*state, FIRST).rows, SANDBOX_PORTS_MAX);
}

static void sandboxes_of_others_are_not_found(void **state)
{
    struct port_expose wanted = wish(NOBODYS, 80);
    struct answer answer = expose_as(*state, &wanted);
    assert_refused(&answer, ERR_NOT_FOUND, "sandbox_not_found");
    wanted = wish(FIRST, 80);
    assert_true(view_copy(VIEW(STRANGER), wanted.user_id, ID_SIZE));
    answer = expose_as(*state, &wanted);
    assert_refused(&answer, ERR_NOT_FOUND, "sandbox_not_found");
    assert_int_equal(list(*state, NOBODYS).rows, 0);
    (void)expose(*state, FIRST, 80);
    assert_int_equal(remove_port(*state, STRANGER, 80).rows, 0);
    assert_true(list(*state, FIRST).has_port);
}

static void list_tells_the_owner_also_without_ports(void **state)
{
    struct answer answer = list(*state, FIRST);
    assert_int_equal(answer.rows, 1);
    assert_false(answer.has_port);
    assert_string_equal(answer.owner.user_id, USER);
    assert_true(answer.owner.is_live);
    (void)expose(*state, FIRST, 9000);
    (void)expose(*state, FIRST, 80);
    answer = list(*state, FIRST);
    assert_int_equal(answer.rows, 2);
    assert_int_equal(answer.row.container_port, 80);
}

static void port_that_is_not_exposed_can_not_be_closed(void **state)
{
    struct answer answer = remove_port(*state, USER, 80);
    assert_int_equal(answer.rows, 1);
    assert_false(answer.removed);
}

static void end_of_a_sandbox_frees_its_ports(void **state)
{
    static const char *const ends[] = {
        "UPDATE sandboxes SET status = 'stopping', end_reason = 'user' WHERE id = '" FIRST "'",
        "UPDATE sandboxes SET status = 'failed', end_reason = 'error', ended_at = now()"
        " WHERE id = '" FIRST "'",
        "DELETE FROM sandboxes WHERE id = '" FIRST "'",
    };
    struct fixture *fixture = *state;
    struct port_expose wanted = wish(FIRST, 80);
    wanted.host_port_last = RANGE_FIRST;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        postgres_run(fixture->postgres,
                     "UPDATE sandboxes SET status = 'running' WHERE id = '" FIRST "'");
        assert_int_equal(expose_as(fixture, &wanted).err.code, ERR_NONE);
        postgres_run(fixture->postgres, ends[i]);
        /* Somebody else can have the only port of the range. */
        struct port_expose others = wish(SECOND, 80);
        others.host_port_last = RANGE_FIRST;
        assert_int_equal(expose_as(fixture, &others).err.code, ERR_NONE);
        postgres_run(fixture->postgres, "DELETE FROM ports");
    }
}

static void ended_sandbox_exposes_nothing(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'"
                                    " WHERE id = '" FIRST "'");
    struct answer answer = expose(fixture, FIRST, 80);
    assert_refused(&answer, ERR_CONFLICT, "sandbox_ended");
    assert_false(list(fixture, FIRST).owner.is_live);
}

static void questions_to_a_store_that_shuts_down_fail(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    const struct port_expose wanted = wish(FIRST, 80);
    begin_expose(fixture, &wanted, &answer);
    assert_true(port_store_fail_all(fixture->store));
    assert_true(answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_false(port_store_expose(fixture->store, &wanted, on_exposed, &answer, &answer.err));
    assert_false(port_store_fail_all(fixture->store));
}

#define SANDBOX_ROW(id, node)                                                                      \
    "('" id "', '" USER "', 'base', 'x', 'sudo', 'free', 'running', 'none', 'test', '" node        \
    "', 1, 1, 1, 1, now())"

static int open_store(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    postgres_run(fixture->postgres,
                 "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status,"
                 " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at)"
                 " VALUES " SANDBOX_ROW(FIRST, "node-1") ", " SANDBOX_ROW(
                     SECOND, "node-1") ", " SANDBOX_ROW(ELSEWHERE, "node-2"));
    fixture->store =
        port_store_open(fixture->loop, postgres_service_url(fixture->postgres, "sandbox"), &err);
    assert_non_null(fixture->store);
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    port_store_close(fixture->store);
    postgres_run(fixture->postgres, "DELETE FROM sandboxes");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres, "INSERT INTO users (id) VALUES ('" USER "'), ('" STRANGER "')");
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
        TEST(exposed_port_gets_a_port_of_the_range),
        TEST(exposing_again_changes_the_visibility_and_nothing_else),
        TEST(port_exposed_anew_has_another_generation),
        TEST(without_a_range_there_is_no_host_port),
        TEST(port_outside_a_new_range_is_replaced),
        TEST(taken_port_is_left_for_the_next_one),
        TEST(taken_port_that_was_left_already_changes_nothing),
        TEST(range_is_used_up_to_the_last_port_and_then_refused),
        TEST(last_free_port_is_always_found),
        TEST(ports_of_another_machine_are_its_own),
        TEST(exposes_at_once_do_not_collide),
        TEST(sandbox_has_so_many_ports_and_no_more),
        TEST(sandboxes_of_others_are_not_found),
        TEST(list_tells_the_owner_also_without_ports),
        TEST(port_that_is_not_exposed_can_not_be_closed),
        TEST(end_of_a_sandbox_frees_its_ports),
        TEST(ended_sandbox_exposes_nothing),
        TEST(questions_to_a_store_that_shuts_down_fail),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
