#include "tests/unit/sandbox-service/life_stage.h"

#include "common/redis/redis.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/life/store.h"
#include "sandbox-service/sandbox/starts.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <unistd.h>

enum { SQL_SIZE = 512, ENGINE_CALLS = 8 };

void life_stage_change(const struct life_stage *stage, const char *changes)
{
    char sql[SQL_SIZE];
    (void)snprintf(sql, sizeof sql, "UPDATE sandboxes SET %s WHERE id = '" LIFE_BOX "'", changes);
    postgres_run(stage->postgres, sql);
}

static void write_question(const char *what, char out[SQL_SIZE])
{
    (void)snprintf(out, SQL_SIZE, "SELECT %s FROM sandboxes WHERE id = '" LIFE_BOX "'", what);
}

void life_stage_expect(const struct life_stage *stage, const char *what, const char *expected)
{
    char sql[SQL_SIZE];
    write_question(what, sql);
    postgres_expect(stage->postgres, sql, expected);
}

struct expectation {
    PGconn *connection;
    const char *expected;
    char sql[SQL_SIZE];
};

static bool is_met(void *arg)
{
    const struct expectation *expectation = arg;
    PGresult *result = PQexec(expectation->connection, expectation->sql);
    assert_int_equal(PQntuples(result), 1);
    bool is = strcmp(PQgetvalue(result, 0, 0), expectation->expected) == 0;
    PQclear(result);
    return is;
}

void life_stage_until(struct life_stage *stage, const char *what, const char *expected)
{
    struct expectation expectation = {.expected = expected};
    write_question(what, expectation.sql);
    expectation.connection = PQconnectdb(postgres_url(stage->postgres));
    turn_until_true(stage->loop, is_met, &expectation);
    PQfinish(expectation.connection);
}

static bool is_quiet(void *arg)
{
    const struct life_stage *stage = arg;
    return shifts_count(stage->sandboxes.shifts) == 0 && stage->sandboxes.removing.count == 0;
}

int life_stage_set(void **state)
{
    const struct life_stage *stage = *state;
    struct err err = {0};
    assert_true(agent_dir_make(&stage->dirs, LIFE_BOX, "first", &err));
    postgres_run(stage->postgres,
                 "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status, "
                 "network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at) "
                 "VALUES ('" LIFE_BOX "', '" LIFE_OWNER "', 'base', 'image', 'locked', 'free', "
                 "'running', 'none', 'test', 'node-1', 512, 1000, 256, 2, "
                 "now() + interval '1 hour')");
    return 0;
}

int life_stage_clear(void **state)
{
    struct life_stage *stage = *state;
    struct engine_stage *engine = &stage->engine;
    struct err err = {0};
    shifts_end(stage->sandboxes.shifts);
    turn_until_true(stage->loop, is_quiet, stage);
    postgres_run(stage->postgres, "DELETE FROM sandboxes");
    assert_true(agent_dir_remove(&stage->dirs, LIFE_BOX, &err));
    (void)snprintf(engine->status, sizeof engine->status, "running");
    engine->refuses = false;
    engine->forgets = false;
    engine->believes_for = 0;
    engine->mounts = NULL;
    engine->paths = NULL;
    engine->acts = 0;
    return 0;
}

static void open_engine(struct life_stage *stage)
{
    struct err err = {0};
    engine_stage_open(&stage->engine, stage->loop, stage->folder);
    stage->sandboxes.docker =
        docker_open(stage->loop, stage->engine.socket_path, ENGINE_CALLS, NULL, NULL, &err);
    assert_non_null(stage->sandboxes.docker);
    assert_true(agent_dirs_open(&stage->dirs, stage->folder, getuid(), getgid(), &err));
    stage->dirs.root_gid = getgid();
    stage->sandboxes.dirs = &stage->dirs;
}

static void open_sandboxes(struct life_stage *stage)
{
    struct err err = {0};
    char nowhere[FOLDER_PATH_SIZE + 16];
    const struct store_options options = {.url = postgres_service_url(stage->postgres, "sandbox"),
                                          .instance = stage->config.instance,
                                          .node = stage->config.node_name,
                                          .limits = "{}",
                                          .more = life_statements,
                                          .more_count = life_statement_count};
    stage->sandboxes.loop = stage->loop;
    stage->sandboxes.config = &stage->config;
    assert_true(sandboxes_init(&stage->sandboxes, &err));
    (void)snprintf(nowhere, sizeof nowhere, "unix://%s/redis", stage->folder);
    stage->sandboxes.redis = redis_open(stage->loop, nowhere, &err);
    assert_non_null(stage->sandboxes.redis);
    stage->sandboxes.store = store_open(stage->loop, &options, &err);
    assert_non_null(stage->sandboxes.store);
    open_engine(stage);
    stage->sandboxes.starts = starts_new(stage->loop, 1, &err);
    assert_non_null(stage->sandboxes.starts);
    stage->sandboxes.shifts = shifts_new(&stage->sandboxes, &err);
    assert_non_null(stage->sandboxes.shifts);
}

int life_stage_open(void **state)
{
    static struct life_stage stage;
    struct err err = {0};
    folder_make(stage.folder);
    stage.postgres = postgres_start();
    postgres_migrate(stage.postgres);
    postgres_run(stage.postgres, "INSERT INTO users (id) VALUES ('" LIFE_OWNER "')");
    (void)snprintf(stage.config.instance, sizeof stage.config.instance, "test");
    (void)snprintf(stage.config.node_name, sizeof stage.config.node_name, "node-1");
    (void)snprintf(stage.config.agent_jwt_secret, sizeof stage.config.agent_jwt_secret,
                   "a secret of more than thirty-two characters");
    stage.config.warn_before_s = 60;
    stage.loop = loop_new(&err);
    assert_non_null(stage.loop);
    open_sandboxes(&stage);
    *state = &stage;
    return 0;
}

int life_stage_close(void **state)
{
    struct life_stage *stage = *state;
    struct sandboxes *sandboxes = &stage->sandboxes;
    (void)docker_fail_all(sandboxes->docker);
    (void)store_fail_all(sandboxes->store);
    shifts_free(sandboxes->shifts);
    starts_free(sandboxes->starts);
    docker_close(sandboxes->docker);
    store_close(sandboxes->store);
    redis_close(sandboxes->redis);
    sandboxes_clear(sandboxes);
    agent_dirs_close(&stage->dirs);
    engine_stage_close(&stage->engine);
    loop_free(stage->loop);
    postgres_remove(stage->postgres);
    folder_remove(stage->folder);
    return 0;
}
