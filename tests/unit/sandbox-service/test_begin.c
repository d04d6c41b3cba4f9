/* sandbox-service/sandbox/store.c: a sandbox begins with its volumes and secrets, or not at all. */
#include "sandbox-service/sandbox/store.h"

#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define SANDBOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define FIRST_GENERATION 1

static const char limits[] = "{\"free\": {\"sandboxes\": 2, \"memoryMB\": 512, \"cpuMilli\": 1000,"
                             " \"pids\": 256, \"diskMB\": 2048, \"lifetimeHours\": 2}}";

static const struct json_pair secret[] = {{VIEW("TOKEN"), VIEW("token")}};
static const struct json_pair secret_file[] = {{VIEW("id.pem"), VIEW("token")}};
static const struct json_pair volumes[] = {{VIEW("/data"), VIEW("data")},
                                           {VIEW("/models"), VIEW("models:ro")}};
static const struct json_pair no_secret[] = {{VIEW("TOKEN"), VIEW("nothing")}};
static const struct json_pair no_volume[] = {{VIEW("/data"), VIEW("nothing")}};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct store *store;
};

struct answer {
    bool done;
    char lines[512]; /* of volumes, or of secrets */
    struct err err;
};

static void on_begun(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct store_begun begun;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    store_read_begun(result, &begun);
    assert_string_equal(begun.info.sandbox_id, SANDBOX);
    assert_true(view_copy(begun.volumes, answer->lines, sizeof answer->lines));
}

static void on_connected(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct store_connected row;
    answer->done = true;
    assert_null(err);
    store_read_connected(result, &row);
    assert_true(row.accepted);
    assert_true(view_copy(row.secrets, answer->lines, sizeof answer->lines));
}

static struct answer begin(struct fixture *fixture, struct sandbox_create *create)
{
    struct answer answer = {0};
    struct store_call call;
    const struct store_bounds bounds = {.network = "none"};
    create->template_name = VIEW("base");
    assert_true(view_copy(VIEW(SANDBOX), create->sandbox_id, ID_SIZE));
    assert_true(view_copy(VIEW(USER), create->user_id, ID_SIZE));
    static const struct store_claim claim = {"any", ""};
    store_begin(fixture->store, &call, create, "none", &bounds, &claim, on_begun, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void all_it_names_is_attached(void **state)
{
    struct fixture *fixture = *state;
    struct sandbox_create create = {
        .secret_env = {secret, 1}, .secret_files = {secret_file, 1}, .volumes = {volumes, 2}};
    struct answer answer = begin(fixture, &create);
    assert_string_equal(answer.err.message, "");
    assert_non_null(strstr(answer.lines, " 50 rw /data\n"));
    assert_non_null(strstr(answer.lines, " 16 ro /models\n"));

    struct store_call call;
    answer = (struct answer){0};
    store_connect(fixture->store, &call, SANDBOX, FIRST_GENERATION, on_connected, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_non_null(strstr(answer.lines, "env TOKEN " USER " token 0123456789abcdef 00"));
    assert_non_null(strstr(answer.lines, "\nfile id.pem " USER " token 0123456789abcdef 00"));
}

static void without_any_nothing_is_attached(void **state)
{
    struct fixture *fixture = *state;
    struct sandbox_create create = {0};
    struct answer answer = begin(fixture, &create);
    assert_string_equal(answer.err.message, "");
    assert_string_equal(answer.lines, "");
}

static void what_is_not_there_leaves_no_row(void **state)
{
    struct fixture *fixture = *state;
    struct sandbox_create create = {.secret_env = {no_secret, 1}, .volumes = {volumes, 2}};
    assert_string_equal(begin(fixture, &create).err.reason, "secret_not_found");
    create = (struct sandbox_create){.secret_env = {secret, 1}, .volumes = {no_volume, 1}};
    assert_string_equal(begin(fixture, &create).err.reason, "volume_not_found");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM sandboxes", "0");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM volume_attachments", "0");
}

static void on_done(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
}

static void count_live(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
    (void)snprintf(answer->lines, sizeof answer->lines, "%d", pg_rows(result));
}

static void expect_live(struct fixture *fixture, const char *count)
{
    struct store_call call;
    struct answer answer = {0};
    store_live(fixture->store, &call, count_live, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.lines, count);
}

static void failed_one_keeps_its_volumes_until_its_container_is_gone(void **state)
{
    struct fixture *fixture = *state;
    struct sandbox_create create = {.volumes = {volumes, 2}};
    struct answer answer = begin(fixture, &create);
    struct store_call call;
    answer = (struct answer){0};
    store_fail(fixture->store, &call, SANDBOX, "error", on_done, &answer);
    turn_until(fixture->loop, &answer.done);
    postgres_expect(fixture->postgres, "SELECT count(*) FROM volume_attachments", "2");
    expect_live(fixture, "1"); /* the reconciler sees to it */
    answer = (struct answer){0};
    store_finish(fixture->store, &call, SANDBOX, on_done, &answer);
    turn_until(fixture->loop, &answer.done);
    postgres_expect(fixture->postgres, "SELECT count(*) FROM volume_attachments", "0");
    postgres_expect(fixture->postgres, "SELECT status FROM sandboxes", "failed");
    expect_live(fixture, "0");
}

static int open_store(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    const struct store_options options = {.url = postgres_service_url(fixture->postgres, "sandbox"),
                                          .instance = "test",
                                          .node = "node-1",
                                          .limits = limits};
    fixture->store = store_open(fixture->loop, &options, &err);
    assert_non_null(fixture->store);
    return 0;
}

static int close_store(void **state)
{
    struct fixture *fixture = *state;
    (void)store_fail_all(fixture->store);
    store_close(fixture->store);
    postgres_run(fixture->postgres, "DELETE FROM sandboxes");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres,
                 "INSERT INTO users (id) VALUES ('" USER "');"
                 "INSERT INTO secrets (user_id, name, key_id, sealed) VALUES ('" USER
                 "', 'token', '0123456789abcdef', decode(repeat('00', 28), 'hex'));"
                 "INSERT INTO volumes (id, user_id, name, size_mb, instance) VALUES"
                 " (gen_random_uuid(), '" USER "', 'data', 50, 'test'),"
                 " (gen_random_uuid(), '" USER "', 'models', 16, 'test')");
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
        TEST(all_it_names_is_attached),
        TEST(without_any_nothing_is_attached),
        TEST(what_is_not_there_leaves_no_row),
        TEST(failed_one_keeps_its_volumes_until_its_container_is_gone),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
