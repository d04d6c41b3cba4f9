/* sandbox-service/templates/store.c, and what the database does for it, against a real PostgreSQL
 * with our migrations. */
#include "sandbox-service/templates/store.h"

#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define STRANGER "22222222-2222-4222-8222-222222222222"
#define SUSPENDED "33333333-3333-4333-8333-333333333333"
#define FIRST "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define SECOND "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define THIRD "aaaaaaaa-aaaa-4aaa-8aaa-000000000003"

enum { MOST = 2 };

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct template_store *store;
};

/* What came back of one question. */
struct answer {
    bool done;
    int rows;
    char shown[2048]; /* and of statements that show nothing: the first column */
    char second[256];
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
    answer->rows = pg_rows(result);
    if (answer->rows > 0) {
        assert_true(view_copy(view_of(pg_text(result, 0, 0)), answer->shown, sizeof answer->shown));
    }
    if (answer->rows > 0 && PQnfields(result) > 1) {
        assert_true(
            view_copy(view_of(pg_text(result, 0, 1)), answer->second, sizeof answer->second));
    }
}

static struct template_store *open_of_node(struct fixture *fixture, const char *node)
{
    struct err err = {0};
    const struct template_store_options options = {
        .url = postgres_service_url(fixture->postgres, "sandbox"),
        .instance = "test",
        .node = node,
        .limits = "{\"free\": {\"sandboxes\": 2, \"snapshotMB\": 10}}",
        .most = MOST};
    struct template_store *store = template_store_open(fixture->loop, &options, &err);
    assert_non_null(store);
    return store;
}

static struct answer begin(struct fixture *fixture, const char *id, const char *user,
                           const char *name, const char *settings)
{
    struct answer answer = {0};
    struct template_create create = {.name = view_of(name),
                                     .source = VIEW(TEMPLATE_FROM_IMAGE),
                                     .reference = VIEW("debian:12"),
                                     .settings = view_of(settings)};
    assert_true(view_copy(view_of(id), create.template_id, ID_SIZE));
    assert_true(view_copy(view_of(user), create.user_id, ID_SIZE));
    assert_true(template_store_begin(fixture->store, &create, "test/template:x", on_result, &answer,
                                     &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer made(struct fixture *fixture, const char *id, const char *failure)
{
    struct answer answer = {0};
    const struct template_end end = {
        .id = id, .failure = failure, .size_bytes = 5000000000, .log = VIEW("said\n")};
    assert_true(template_store_made(fixture->store, &end, on_result, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

typedef bool named_fn(struct template_store *store, const char user_id[ID_SIZE],
                      struct view template_name, pg_result_fn *done, void *arg, struct err *err);

static struct answer ask(struct fixture *fixture, named_fn *question, const char *user,
                         const char *name)
{
    struct answer answer = {0};
    assert_true(question(fixture->store, user, view_of(name), on_result, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void assert_refused(struct answer answer, enum err_code code, const char *reason)
{
    assert_int_equal(answer.err.code, code);
    assert_string_equal(answer.err.reason, reason);
}

static void assert_has(struct answer answer, const char *member)
{
    if (strstr(answer.shown, member) == NULL) {
        fail_msg("%s has no %s", answer.shown, member);
    }
}

#define SANDBOX_VALUES(id, user, name)                                                             \
    "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status, network, "        \
    "instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at, env) VALUES ('" id    \
    "', '" user "', '" name "', 'x', 'sudo', 'free', 'running', 'none', 'test', 'node-1', 512, "   \
    "1000, 256, 1, now(), '{\"A\": \"mine\"}')"

/* Of an insert: what it was refused with, or "". */
#define EXPECT_REFUSED(fixture, statement, reason)                                                 \
    do {                                                                                           \
        postgres_run((fixture)->postgres,                                                          \
                     "CREATE OR REPLACE FUNCTION try_it() RETURNS text LANGUAGE plpgsql AS $t$ "   \
                     "BEGIN " statement "; RETURN ''; "                                            \
                     "EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END $t$");                        \
        postgres_expect((fixture)->postgres, "SELECT try_it()", reason);                           \
    } while (0)

static void template_is_shown_as_it_was_asked_for(void **state)
{
    struct answer answer =
        begin(*state, FIRST, USER, "mine",
              "{\"description\":\"d\",\"profile\":\"locked\",\"workDir\":\"/w\",\"user\":\"u\","
              "\"env\":{\"A\":\"b\"},\"memoryMB\":256,\"network\":\"none\",\"readOnlyRoot\":true}");
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_string_equal(answer.second, "making");
    assert_has(answer, "\"templateId\":\"" FIRST "\"");
    assert_has(answer, "\"profile\":\"locked\"");
    assert_has(answer, "\"readOnlyRoot\":true");
    assert_has(answer, "\"builtIn\":false");
    assert_has(answer, "\"memoryMB\":256");
    assert_has(answer, "\"reference\":\"debian:12\"");
    assert_null(strstr(answer.shown, "runtime"));
    assert_string_equal(made(*state, FIRST, NULL).shown, "t");
    answer = ask(*state, template_store_get, USER, "mine");
    assert_string_equal(answer.second, "ready");
    assert_has(answer, "\"sizeBytes\":5000000000");
    assert_string_equal(made(*state, FIRST, "late").shown, "f");
}

static void names_are_of_each_user(void **state)
{
    assert_int_equal(begin(*state, FIRST, USER, "mine", "{}").err.code, ERR_NONE);
    assert_int_equal(begin(*state, SECOND, STRANGER, "mine", "{}").err.code, ERR_NONE);
    assert_refused(begin(*state, THIRD, USER, "mine", "{}"), ERR_CONFLICT, "template_exists");
    assert_refused(begin(*state, THIRD, USER, "base", "{}"), ERR_CONFLICT, "template_exists");
    assert_has(ask(*state, template_store_get, USER, "mine"), FIRST);
    assert_has(ask(*state, template_store_get, STRANGER, "mine"), SECOND);
    assert_int_equal(ask(*state, template_store_get, STRANGER, FIRST).rows, 0);
    assert_has(ask(*state, template_store_get, STRANGER, "python"), "\"builtIn\":true");
}

static void asking_again_tells_the_same(void **state)
{
    (void)begin(*state, FIRST, USER, "mine", "{}");
    assert_string_equal(begin(*state, FIRST, USER, "mine", "{}").second, "making");
    assert_string_equal(made(*state, FIRST, NULL).shown, "t");
    assert_string_equal(begin(*state, FIRST, USER, "mine", "{}").second, "ready");
}

static void on_begun_elsewhere(const PGresult *result, const struct err *err, void *arg)
{
    assert_null(err);
    assert_false(template_store_is_here(result));
    *(bool *)arg = true;
}

/* Whoever asks again at another node finds what the first one makes. */
static void what_one_node_makes_is_not_here_for_another(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    bool done = false;
    struct template_create create = {.template_id = FIRST,
                                     .user_id = USER,
                                     .name = VIEW("mine"),
                                     .source = VIEW(TEMPLATE_FROM_IMAGE),
                                     .reference = VIEW("debian:12"),
                                     .settings = VIEW("{}")};
    (void)begin(fixture, FIRST, USER, "mine", "{}");
    struct template_store *other = open_of_node(fixture, "node-2");
    assert_true(
        template_store_begin(other, &create, "test/template:x", on_begun_elsewhere, &done, &err));
    turn_until(fixture->loop, &done);
    template_store_close(other);
}

static void there_are_so_many_and_no_more(void **state)
{
    (void)begin(*state, FIRST, USER, "one", "{}");
    (void)begin(*state, SECOND, USER, "two", "{}");
    assert_refused(begin(*state, THIRD, USER, "three", "{}"), ERR_LIMIT, "template_quota_exceeded");
    /* One that failed gives way to another try. */
    assert_string_equal(made(*state, SECOND, "pull_failed").shown, "t");
    assert_int_equal(begin(*state, THIRD, USER, "two", "{}").err.code, ERR_NONE);
    assert_refused(begin(*state, THIRD, SUSPENDED, "x", "{}"), ERR_DENIED, "user_suspended");
}

static void sandbox_gets_what_its_template_says(void **state)
{
    struct fixture *fixture = *state;
    (void)begin(fixture, FIRST, USER, "mine",
                "{\"profile\":\"locked\",\"workDir\":\"/w\",\"env\":{\"A\":\"b\",\"C\":\"d\"},"
                "\"memoryMB\":256,\"pids\":1000}");
    EXPECT_REFUSED(fixture, SANDBOX_VALUES(FIRST, USER, "mine"), "template_not_ready");
    (void)made(fixture, FIRST, NULL);
    EXPECT_REFUSED(fixture, SANDBOX_VALUES(FIRST, STRANGER, "mine"), "template_not_found");
    postgres_run(fixture->postgres, SANDBOX_VALUES(FIRST, USER, "mine"));
    postgres_expect(fixture->postgres,
                    "SELECT concat_ws(' ', image, profile, work_dir, memory_mb, cpu_milli, pids, "
                    "env ->> 'A', env ->> 'C', template_id) FROM sandboxes",
                    "test/template:x locked /w 256 1000 256 mine d " FIRST);
}

#define BEGIN(id, name, network)                                                                   \
    "FROM sandbox_begin('" id "', '" USER "', NULL, '" name "', 0, '" network                      \
    "', 'test', 'node-1', '{}', '{}', '{\"free\": {\"sandboxes\": 9, \"memoryMB\": 512, "          \
    "\"cpuMilli\": 1000, \"pids\": 256, \"diskMB\": 2048, \"lifetimeHours\": 2}}', '{}', "         \
    "'{\"network\": \"open\"}')"

static void request_goes_before_the_template_and_that_before_the_server(void **state)
{
    struct fixture *fixture = *state;
    (void)begin(fixture, FIRST, USER, "mine",
                "{\"network\":\"none\",\"memoryMB\":256,\"diskMB\":100,\"runtime\":\"runsc\"}");
    (void)made(fixture, FIRST, NULL);
    postgres_expect(fixture->postgres,
                    "SELECT concat_ws(' ', network, memory_mb, cpu_milli, disk_mb, runtime) " BEGIN(
                        FIRST, "mine", ""),
                    "none 256 1000 100 runsc");
    postgres_expect(fixture->postgres, "SELECT network " BEGIN(SECOND, "mine", "open"), "open");
    postgres_expect(fixture->postgres,
                    "SELECT concat_ws(' ', network, memory_mb, runtime) " BEGIN(THIRD, "base", ""),
                    "open 512");
}

static void template_in_use_stays(void **state)
{
    struct fixture *fixture = *state;
    (void)begin(fixture, FIRST, USER, "mine", "{}");
    (void)made(fixture, FIRST, NULL);
    postgres_run(fixture->postgres, SANDBOX_VALUES(FIRST, USER, "mine"));
    assert_refused(ask(fixture, template_store_remove, USER, "mine"), ERR_CONFLICT,
                   "template_in_use");
    assert_refused(ask(fixture, template_store_remove, STRANGER, "mine"), ERR_NOT_FOUND,
                   "template_not_found");
    assert_refused(ask(fixture, template_store_remove, USER, "base"), ERR_DENIED,
                   "template_of_server");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'destroyed', "
                                    "end_reason = 'user', ended_at = now()");
    struct answer answer = ask(fixture, template_store_remove, USER, FIRST);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_string_equal(answer.shown, FIRST);
    assert_string_equal(answer.second, "test/template:x");
    /* There may be very many: they are left alone. */
    postgres_expect(fixture->postgres, "SELECT template || ' ' || template_id FROM sandboxes",
                    "mine " FIRST);
}

static void what_was_half_done_has_failed(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {0};
    (void)begin(fixture, FIRST, USER, "mine", "{}");
    assert_true(template_store_interrupt(fixture->store, on_result, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.shown, "1");
    assert_has(ask(fixture, template_store_get, USER, "mine"), "\"failure\":\"interrupted\"");
}

static void templates_go_with_their_user(void **state)
{
    struct fixture *fixture = *state;
    (void)begin(fixture, FIRST, STRANGER, "mine", "{}");
    postgres_run(fixture->postgres,
                 "UPDATE users SET deleted_at = now(), suspended_at = now() WHERE id = '" STRANGER
                 "'");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM templates WHERE user_id IS NOT NULL",
                    "0");
    postgres_run(fixture->postgres,
                 "UPDATE users SET deleted_at = NULL, suspended_at = NULL WHERE id = '" STRANGER
                 "'");
}

static int open_store(void **state)
{
    struct fixture *fixture = *state;
    fixture->store = open_of_node(fixture, "node-1");
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    template_store_close(fixture->store);
    postgres_run(fixture->postgres, "DELETE FROM sandboxes");
    postgres_run(fixture->postgres, "DELETE FROM templates WHERE user_id IS NOT NULL");
    return 0;
}

static struct answer begin_snapshot(struct fixture *fixture, const char *user, const char *name)
{
    struct answer answer = {0};
    struct template_create create = {.template_id = FIRST,
                                     .name = view_of(name),
                                     .source = VIEW(TEMPLATE_FROM_SNAPSHOT),
                                     .reference = VIEW(SECOND),
                                     .settings = VIEW("{}")};
    memcpy(create.user_id, user, ID_SIZE);
    assert_true(template_store_begin(fixture->store, &create, "test/template:x", on_result, &answer,
                                     &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

/* The sandbox's environment may hold secrets. */
static void snapshot_is_as_its_sandbox_but_for_the_environment(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {0};
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET profile = 'locked', read_only_root = true, work_dir = '/w'");
    const struct answer begun = begin_snapshot(fixture, USER, "kept");
    assert_has(begun, "\"profile\":\"locked\"");
    assert_has(begun, "\"readOnlyRoot\":true");
    assert_has(begun, "\"workDir\":\"/w\"");
    assert_has(begun, "\"user\":\"\"");
    assert_has(begun, "\"env\":{}");
    const struct template_list snapshots = {.user_id = USER, .source = VIEW("snapshot")};
    assert_true(template_store_list(fixture->store, &snapshots, on_result, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.rows, 1);
    (void)made(fixture, FIRST, NULL);
    postgres_run(fixture->postgres, SANDBOX_VALUES(THIRD, USER, FIRST)); /* by its id */
    EXPECT_REFUSED(fixture, SANDBOX_VALUES(FIRST, STRANGER, FIRST), "template_not_found");
    assert_refused(ask(fixture, template_store_remove, USER, FIRST), ERR_CONFLICT,
                   "template_in_use");
}

static void snapshots_are_of_own_sandboxes_that_live(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    assert_refused(begin_snapshot(fixture, STRANGER, "s"), ERR_NOT_FOUND, "sandbox_not_found");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'creating'");
    assert_refused(begin_snapshot(fixture, USER, "s"), ERR_CONFLICT, "sandbox_starting");
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'");
    assert_refused(begin_snapshot(fixture, USER, "s"), ERR_CONFLICT, "sandbox_ended");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'running', node = 'node-2'");
    assert_refused(begin_snapshot(fixture, USER, "s"), ERR_CONFLICT, "template_elsewhere");
}

static struct answer begin_of(struct fixture *fixture, const char *id, const char *source,
                              const char *reference)
{
    struct answer answer = {0};
    struct template_create create = {.user_id = USER,
                                     .name = view_of(id),
                                     .source = view_of(source),
                                     .reference = view_of(reference),
                                     .settings = VIEW("{}")};
    memcpy(create.template_id, id, ID_SIZE);
    assert_true(template_store_begin(fixture->store, &create, "test/template:x", on_result, &answer,
                                     &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer weigh(struct fixture *fixture, const char *id, int64_t own_bytes)
{
    struct answer answer = {0};
    assert_non_null(
        template_store_weigh(fixture->store, id, own_bytes, on_result, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

#define OWN(id) "SELECT own_bytes FROM templates WHERE id = '" id "'"
#define COUNTED(id)                                                                                \
    "SELECT (own_bytes + inherited_bytes) / 1048576 FROM templates WHERE id = '" id "'"
#define MB INT64_C(1048576)

static void snapshots_have_room_or_are_refused(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    (void)begin_of(fixture, FIRST, "snapshot", SECOND);
    assert_int_equal(weigh(fixture, FIRST, 7 * MB).err.code, ERR_NONE);
    (void)begin_of(fixture, THIRD, "snapshot", SECOND);
    assert_refused(weigh(fixture, THIRD, 4 * MB), ERR_LIMIT, "snapshot_quota_exceeded");
    postgres_expect(fixture->postgres, OWN(THIRD), "");
    assert_int_equal(weigh(fixture, THIRD, 3 * MB).err.code, ERR_NONE);
    (void)made(fixture, FIRST, "interrupted");
    assert_int_equal(weigh(fixture, THIRD, 10 * MB).err.code, ERR_NONE);
    assert_refused(weigh(fixture, FIRST, 1), ERR_NOT_FOUND, "template_not_found");
}

static void who_stands_on_an_image_that_goes_has_its_layers(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    (void)begin_of(fixture, FIRST, "snapshot", SECOND);
    assert_int_equal(weigh(fixture, FIRST, 7 * MB).err.code, ERR_NONE);
    (void)made(fixture, FIRST, NULL);
    postgres_run(fixture->postgres, "UPDATE sandboxes SET template_id = '" FIRST "'");
    (void)begin_of(fixture, THIRD, "snapshot", SECOND);
    assert_int_equal(weigh(fixture, THIRD, 1 * MB).err.code, ERR_NONE);
    postgres_run(fixture->postgres, "UPDATE sandboxes SET template_id = NULL");
    assert_int_equal(ask(fixture, template_store_remove, USER, FIRST).err.code, ERR_NONE);
    postgres_expect(fixture->postgres, COUNTED(THIRD), "8");
    assert_refused(weigh(fixture, THIRD, 4 * MB), ERR_LIMIT, "snapshot_quota_exceeded");
}

#define STANDING(id, name, status)                                                                 \
    "INSERT INTO templates (id, user_id, name, source, reference, image, instance, node, status, " \
    "parent_id, own_bytes, made_at) VALUES ('" id "', '" USER "', '" name "', 'image', 'x', 'x', " \
    "'test', 'node-1', '" status "', '" FIRST "', 1048576, now())"

/* Whatever becomes of those on the way. */
static void layers_that_somebody_stands_on_stay_counted(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    (void)begin_of(fixture, FIRST, "snapshot", SECOND);
    assert_int_equal(weigh(fixture, FIRST, 7 * MB).err.code, ERR_NONE);
    (void)made(fixture, FIRST, NULL);
    postgres_run(fixture->postgres, STANDING(SECOND, "a", "making"));
    postgres_run(fixture->postgres, STANDING(THIRD, "b", "making"));
    assert_int_equal(ask(fixture, template_store_remove, USER, FIRST).err.code, ERR_NONE);
    postgres_expect(fixture->postgres, COUNTED(SECOND), "8");
    (void)made(fixture, SECOND, "image_too_large");
    postgres_expect(fixture->postgres, COUNTED(SECOND), "1");
    postgres_expect(fixture->postgres, COUNTED(THIRD), "8");
    postgres_run(fixture->postgres, STANDING(FIRST, "c", "ready"));
    postgres_run(fixture->postgres,
                 "UPDATE templates SET parent_id = '" THIRD "' WHERE id = '" FIRST "'");
    assert_int_equal(ask(fixture, template_store_remove, USER, THIRD).err.code, ERR_NONE);
    postgres_expect(fixture->postgres, COUNTED(FIRST), "8");
}

static void template_of_a_snapshot_is_like_it_where_it_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    postgres_run(fixture->postgres, "UPDATE sandboxes SET profile = 'locked', work_dir = '/w'");
    assert_refused(begin_of(fixture, THIRD, "copy", "none"), ERR_NOT_FOUND, "template_not_found");
    (void)begin_of(fixture, FIRST, "snapshot", SECOND);
    assert_refused(begin_of(fixture, THIRD, "copy", FIRST), ERR_CONFLICT, "template_not_ready");
    (void)made(fixture, FIRST, NULL);
    const struct answer copy = begin_of(fixture, THIRD, "copy", FIRST);
    assert_has(copy, "\"profile\":\"locked\"");
    assert_has(copy, "\"workDir\":\"/w\"");
    assert_has(copy, "\"reference\":\"" FIRST "\"");
}

static int drop_forks(struct fixture *fixture)
{
    struct answer answer = {0};
    assert_true(template_store_drop_forks(fixture->store, 60, on_result, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_NONE);
    return answer.rows;
}

static void fork_goes_with_the_last_of_its_copies(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    postgres_run(fixture->postgres, "UPDATE sandboxes SET network = 'open', memory_mb = 100, "
                                    "metadata = '{\"of\": 1}', on_timeout = 'pause'");
    (void)begin_of(fixture, FIRST, "fork", SECOND);
    assert_int_equal(weigh(fixture, FIRST, 1 * MB).err.code, ERR_NONE);
    (void)made(fixture, FIRST, NULL);
    postgres_run(fixture->postgres, SANDBOX_VALUES(THIRD, USER, FIRST));
    postgres_expect(fixture->postgres,
                    "SELECT concat_ws(' ', memory_mb, metadata ->> 'of', on_timeout, env ->> 'A') "
                    "FROM sandboxes WHERE id = '" THIRD "'",
                    "100 1 pause mine");
    postgres_run(fixture->postgres, "UPDATE templates SET made_at = now() - interval '1 hour'");
    assert_int_equal(drop_forks(fixture), 0);
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'destroyed', "
                                    "end_reason = 'user', ended_at = now() WHERE id = '" THIRD "'");
    postgres_run(fixture->postgres, "UPDATE templates SET made_at = now()");
    assert_int_equal(drop_forks(fixture), 0); /* copies may be on their way */
    postgres_run(fixture->postgres, "UPDATE templates SET made_at = now() - interval '1 hour'");
    assert_int_equal(drop_forks(fixture), 1);
}

#define BEGIN_COPY(wanted)                                                                         \
    "SELECT concat_ws(' ', on_timeout, auto_resume) FROM sandbox_begin('" THIRD "', '" USER        \
    "', NULL, '" FIRST "', 0, '', 'test', 'node-1', '{}', '{}', '{\"free\": {\"sandboxes\": 9, "   \
    "\"memoryMB\": 512, \"cpuMilli\": 1000, \"pids\": 256, \"diskMB\": 2048, "                     \
    "\"lifetimeHours\": 2}}', '" wanted "', '{\"network\": \"open\"}')"

static void copy_goes_on_as_its_origin_where_nothing_else_is_asked_for(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET on_timeout = 'pause', auto_resume = false");
    (void)begin_of(fixture, FIRST, "fork", SECOND);
    (void)made(fixture, FIRST, NULL);
    postgres_expect(fixture->postgres, BEGIN_COPY("{\"onTimeout\": \"\"}"), "pause f");
    postgres_run(fixture->postgres, "DELETE FROM sandboxes WHERE id = '" THIRD "'");
    postgres_expect(fixture->postgres,
                    BEGIN_COPY("{\"onTimeout\": \"destroy\", \"autoResume\": true}"), "destroy t");
}

/* A user who has all the templates that there can be still has copies. */
static void forks_are_not_counted_as_templates(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    (void)begin(fixture, SECOND, USER, "one", "{}");
    (void)begin(fixture, THIRD, USER, "two", "{}");
    assert_int_equal(begin_of(fixture, FIRST, "fork", SECOND).err.code, ERR_NONE);
}

static void fork_of_who_has_no_room_is_refused(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, SANDBOX_VALUES(SECOND, USER, "tiny"));
    postgres_run(fixture->postgres, SANDBOX_VALUES(THIRD, USER, "tiny"));
    (void)begin_of(fixture, FIRST, "fork", SECOND);
    assert_refused(weigh(fixture, FIRST, 1), ERR_LIMIT, "quota_exceeded");
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
        TEST(template_is_shown_as_it_was_asked_for),
        TEST(names_are_of_each_user),
        TEST(asking_again_tells_the_same),
        TEST(what_one_node_makes_is_not_here_for_another),
        TEST(there_are_so_many_and_no_more),
        TEST(sandbox_gets_what_its_template_says),
        TEST(template_in_use_stays),
        TEST(request_goes_before_the_template_and_that_before_the_server),
        TEST(what_was_half_done_has_failed),
        TEST(templates_go_with_their_user),
        TEST(snapshot_is_as_its_sandbox_but_for_the_environment),
        TEST(snapshots_are_of_own_sandboxes_that_live),
        TEST(snapshots_have_room_or_are_refused),
        TEST(who_stands_on_an_image_that_goes_has_its_layers),
        TEST(layers_that_somebody_stands_on_stay_counted),
        TEST(template_of_a_snapshot_is_like_it_where_it_says_nothing),
        TEST(fork_goes_with_the_last_of_its_copies),
        TEST(copy_goes_on_as_its_origin_where_nothing_else_is_asked_for),
        TEST(forks_are_not_counted_as_templates),
        TEST(fork_of_who_has_no_room_is_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
