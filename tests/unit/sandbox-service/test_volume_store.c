/* sandbox-service/volumes/store.c and the functions it calls, against a real PostgreSQL. */
#include "sandbox-service/volumes/store.h"

#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define STRANGER "22222222-2222-4222-8222-222222222222"
#define FIRST "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define SECOND "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define ELSEWHERE "aaaaaaaa-aaaa-4aaa-8aaa-000000000003" /* on another node */
#define VOLUME "bbbbbbbb-bbbb-4bbb-8bbb-000000000001"
#define OTHER "bbbbbbbb-bbbb-4bbb-8bbb-000000000002"
#define THIRD "bbbbbbbb-bbbb-4bbb-8bbb-000000000003"

enum { LIST_MAX = 8192 };

static const char limits[] = "{\"free\": {\"volumes\": 2, \"volumeMB\": 100}}";

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct volume_store *store;
};

struct answer {
    bool done;
    int rows;
    char id[ID_SIZE];
    char list[LIST_MAX];
    struct volume_here here; /* the first */
    struct err err;
};

static void note(struct answer *answer, const PGresult *result, const struct err *err)
{
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    } else {
        answer->rows = pg_rows(result);
    }
}

static void on_info(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct volume_info info;
    struct err failure = {0};
    note(answer, result, err);
    if (err == NULL) {
        assert_true(volume_store_read_info(result, &info, &failure));
        memcpy(answer->id, info.volume_id, ID_SIZE);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct err failure = {0};
    struct str text = STR_INIT(LIST_MAX - 1);
    note(answer, result, err);
    assert_null(err);
    assert_true(volume_store_write_list(result, &text, &failure));
    assert_true(view_copy(str_view(&text), answer->list, sizeof answer->list));
    str_free(&text);
}

static void on_here(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct err failure = {0};
    note(answer, result, err);
    assert_null(err);
    if (answer->rows > 0) {
        assert_true(volume_store_read_here(result, 0, &answer->here, &failure));
    }
}

static void on_done(const PGresult *result, const struct err *err, void *arg)
{
    note(arg, result, err);
}

static struct answer make_as(struct fixture *fixture, const char *user_id, const char *id,
                             const char *name, int64_t size_mb, bool is_shared)
{
    struct answer answer = {0};
    struct volume_create create = {
        .name = view_of(name), .size_mb = size_mb, .is_shared = is_shared};
    assert_true(view_copy(view_of(id), create.volume_id, ID_SIZE));
    assert_true(view_copy(view_of(user_id), create.user_id, ID_SIZE));
    assert_true(volume_store_make(fixture->store, &create, on_info, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void make(struct fixture *fixture, bool is_shared)
{
    assert_int_equal(make_as(fixture, USER, VOLUME, "data", 50, is_shared).err.code, ERR_NONE);
}

static struct answer delete_volume(struct fixture *fixture, const char *user_id)
{
    struct answer answer = {0};
    struct volume_delete delete = {.name = VIEW("data")};
    assert_true(view_copy(view_of(user_id), delete.user_id, ID_SIZE));
    assert_true(volume_store_delete(fixture->store, &delete, on_info, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer list(struct fixture *fixture)
{
    struct answer answer = {0};
    assert_true(volume_store_list(fixture->store, USER, on_listed, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static struct answer here(struct fixture *fixture)
{
    struct answer answer = {0};
    assert_true(volume_store_here(fixture->store, on_here, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void forget(struct fixture *fixture, const char *ids)
{
    struct answer answer = {0};
    assert_true(volume_store_forget(fixture->store, ids, on_done, &answer, &answer.err));
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_NONE);
}

#define ATTACH(sandbox, path, mode)                                                                \
    "volumes_attach('" sandbox "', '[{\"name\": \"data\", \"path\": \"" path                       \
    "\", \"readOnly\": " mode "}]')"

static void attach(struct fixture *fixture, const char *call, const char *lines)
{
    char sql[512];
    assert_true(snprintf(sql, sizeof sql, "SELECT %s", call) < (int)sizeof sql);
    postgres_expect(fixture->postgres, sql, lines);
}

/* The call raises that reason. */
static void refuse(struct fixture *fixture, const char *call, const char *reason)
{
    char sql[1024];
    assert_true(snprintf(sql, sizeof sql,
                         "DO $$ BEGIN PERFORM %s; RAISE 'nothing'; EXCEPTION WHEN SQLSTATE 'IN404' "
                         "OR SQLSTATE 'IN409' OR SQLSTATE 'IN400' THEN "
                         "PERFORM set_config('test.raised', SQLERRM, false); END $$; "
                         "SELECT current_setting('test.raised')",
                         call) < (int)sizeof sql);
    postgres_expect(fixture->postgres, sql, reason);
}

static void assert_refused(const struct answer *answer, enum err_code code, const char *reason)
{
    assert_int_equal(answer->err.code, code);
    assert_string_equal(answer->err.reason, reason);
}

static void volume_is_made_once(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, false);
    make(fixture, false); /* the same id again */
    struct answer answer = make_as(fixture, USER, OTHER, "data", 16, false);
    assert_refused(&answer, ERR_CONFLICT, "volume_exists");
    answer = make_as(fixture, STRANGER, VOLUME, "data", 16, false);
    assert_refused(&answer, ERR_CONFLICT, "volume_exists");
    answer = make_as(fixture, STRANGER, OTHER, "data", 16, false);
    assert_int_equal(answer.err.code, ERR_NONE); /* names are each user's own */
    assert_string_equal(answer.id, OTHER);
}

static void quota_counts_volumes_and_what_they_take(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, false);
    struct answer answer = make_as(fixture, USER, OTHER, "b", 51, false);
    assert_refused(&answer, ERR_LIMIT, "volume_quota_exceeded");
    assert_int_equal(make_as(fixture, USER, OTHER, "b", 20, false).err.code, ERR_NONE);
    answer = make_as(fixture, USER, THIRD, "c", 16, false);
    assert_refused(&answer, ERR_LIMIT, "volume_quota_exceeded");
}

static void first_attach_decides_the_machine(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, false);
    assert_int_equal(here(fixture).rows, 1); /* if there is a disk of it all the same, it is its */
    attach(fixture, ATTACH(FIRST, "/data", "false"), VOLUME " 50 rw /data\n");
    struct answer answer = here(fixture);
    assert_int_equal(answer.rows, 1);
    assert_string_equal(answer.here.id, VOLUME);
    assert_true(answer.here.is_attached);
    refuse(fixture, ATTACH(ELSEWHERE, "/data", "true"), "volume_elsewhere");
}

static void one_writes_and_others_may_read(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, false);
    attach(fixture, ATTACH(FIRST, "/data", "false"), VOLUME " 50 rw /data\n");
    refuse(fixture, ATTACH(SECOND, "/data", "false"), "volume_in_use");
    attach(fixture, ATTACH(SECOND, "/data", "true"), VOLUME " 50 ro /data\n");
}

static void shared_volume_has_many_writers(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, true);
    attach(fixture, ATTACH(FIRST, "/data", "false"), VOLUME " 50 rw /data\n");
    attach(fixture, ATTACH(SECOND, "/other", "false"), VOLUME " 50 rw /other\n");
    refuse(fixture, ATTACH(SECOND, "/third", "false"), "volume_named_twice");
}

static void volumes_of_others_are_not_found(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(make_as(fixture, STRANGER, VOLUME, "data", 16, false).err.code, ERR_NONE);
    refuse(fixture, ATTACH(FIRST, "/data", "true"), "volume_not_found");
    struct answer answer = delete_volume(fixture, USER);
    assert_refused(&answer, ERR_NOT_FOUND, "volume_not_found");
    assert_string_equal(list(fixture).list, "[]");
}

static void end_of_the_sandbox_frees_its_volumes(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, false);
    attach(fixture, ATTACH(FIRST, "/data", "false"), VOLUME " 50 rw /data\n");
    assert_non_null(strstr(list(fixture).list, "\"sandboxId\": \"" FIRST "\""));
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'"
                                    " WHERE id = '" FIRST "'");
    struct answer answer = delete_volume(fixture, USER); /* its container may still write */
    assert_refused(&answer, ERR_CONFLICT, "volume_in_use");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'destroyed', ended_at = now()"
                                    " WHERE id = '" FIRST "'");
    assert_false(here(fixture).here.is_attached);
    attach(fixture, ATTACH(SECOND, "/data", "false"), VOLUME " 50 rw /data\n");
}

static void deleted_volume_goes_with_its_disk(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, false);
    assert_int_equal(delete_volume(fixture, USER).err.code, ERR_NONE); /* never had a disk */
    postgres_expect(fixture->postgres, "SELECT count(*) FROM volumes", "0");
    make(fixture, false);
    attach(fixture, ATTACH(FIRST, "/data", "false"), VOLUME " 50 rw /data\n");
    forget(fixture, "{" VOLUME "}"); /* is not being deleted */
    postgres_run(fixture->postgres, "DELETE FROM volume_attachments");
    assert_int_equal(delete_volume(fixture, USER).err.code, ERR_NONE);
    assert_string_equal(list(fixture).list, "[]");
    assert_true(here(fixture).here.is_deleting);
    refuse(fixture, ATTACH(SECOND, "/data", "true"), "volume_not_found");
    struct answer answer = make_as(fixture, USER, OTHER, "data", 60, false);
    assert_refused(&answer, ERR_LIMIT, "volume_quota_exceeded"); /* it still takes its place */
    forget(fixture, "{" VOLUME "," OTHER "}");
    assert_int_equal(here(fixture).rows, 0);
    assert_int_equal(make_as(fixture, USER, OTHER, "data", 60, false).err.code, ERR_NONE);
}

static void volumes_of_who_leaves_go_with_their_disks(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, false);
    assert_int_equal(make_as(fixture, USER, OTHER, "without-disk", 20, false).err.code, ERR_NONE);
    attach(fixture, ATTACH(FIRST, "/data", "false"), VOLUME " 50 rw /data\n");
    postgres_run(fixture->postgres,
                 "INSERT INTO secrets (user_id, name, key_id, sealed) VALUES ('" USER
                 "', 'token', '0123456789abcdef', decode(repeat('00', 28), 'hex'));"
                 "UPDATE users SET deleted_at = now(), suspended_at = now()"
                 " WHERE id = '" USER "'");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM secrets", "0");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM volumes", "1");
    assert_true(here(fixture).here.is_deleting);
    assert_true(here(fixture).here.is_attached); /* its sandbox has still to end */
    postgres_run(fixture->postgres, "DELETE FROM volume_attachments;"
                                    "UPDATE users SET deleted_at = NULL, suspended_at = NULL");
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
    const struct volume_store_options options = {
        .url = postgres_service_url(fixture->postgres, "sandbox"),
        .instance = "test",
        .node = "node-1",
        .limits = limits};
    fixture->store = volume_store_open(fixture->loop, &options, &err);
    assert_non_null(fixture->store);
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    volume_store_close(fixture->store);
    postgres_run(fixture->postgres, "DELETE FROM sandboxes; DELETE FROM volumes");
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
        TEST(volume_is_made_once),
        TEST(quota_counts_volumes_and_what_they_take),
        TEST(first_attach_decides_the_machine),
        TEST(one_writes_and_others_may_read),
        TEST(shared_volume_has_many_writers),
        TEST(volumes_of_others_are_not_found),
        TEST(end_of_the_sandbox_frees_its_volumes),
        TEST(deleted_volume_goes_with_its_disk),
        TEST(volumes_of_who_leaves_go_with_their_disks),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
