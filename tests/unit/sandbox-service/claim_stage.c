#include "tests/unit/sandbox-service/claim_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define LIMITS                                                                                     \
    "{\"free\": {\"sandboxes\": 2, \"memoryMB\": 512, \"cpuMilli\": 1000, \"pids\": 256, "         \
    "\"diskMB\": 2048, \"lifetimeHours\": 2}, \"pro\": {\"sandboxes\": 50, \"memoryMB\": 1024, "   \
    "\"cpuMilli\": 2000, "                                                                         \
    "\"pids\": 1024, \"diskMB\": 4096, \"lifetimeHours\": 24}}"
/* One more that waits; $2.. of the format: id, tier, memory, when it came. */
#define WAITING                                                                                    \
    "INSERT INTO warm_sandboxes (id, template_id, template, image, profile, read_only_root, "      \
    "network, tier, "                                                                              \
    "memory_mb, cpu_milli, pids, disk_mb, instance, node, bundle, status, work_dir, image_user, "  \
    "agent_generation, ready_at) SELECT '%s', id, name, image, profile, read_only_root, 'none', "  \
    "'%s',"                                                                                        \
    " %d, 1000, 256, 2048, 'test', 'node-1', '" BUNDLE "', 'ready', '/srv', 'joe', 1, "            \
    "now() + interval '%d seconds' FROM templates WHERE name = 'base'"

void claim_stage_wait(const struct claim_stage *stage, const char *id, const char *tier,
                      int memory_mb, int at_s)
{
    char sql[SQL_SIZE];
    (void)snprintf(sql, sizeof sql, WAITING, id, tier, memory_mb, at_s);
    postgres_run(stage->postgres, sql);
}

void claim_stage_on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct claim_answer *answer = arg;
    answer->done = true;
    answer->rows = err == NULL ? pg_rows(result) : 0;
    if (err != NULL) {
        answer->err = *err;
    }
}

void claim_stage_on_begun(const PGresult *result, const struct err *err, void *arg)
{
    struct claim_answer *answer = arg;
    struct store_begun begun;
    claim_stage_on_rows(result, err, arg);
    if (answer->rows == 1) {
        store_read_begun(result, &begun);
        memcpy(answer->id, begun.info.sandbox_id, ID_SIZE);
        assert_true(view_copy(begun.info.status, answer->status, sizeof answer->status));
        assert_true(view_copy(view_of(begun.work_dir), answer->work_dir, sizeof answer->work_dir));
        answer->is_warm = begun.is_warm;
        answer->limits_differ = begun.limits_differ;
        answer->generation = begun.agent_generation;
    }
}

void claim_stage_ask(struct claim_stage *stage, struct store_call *call, const char *id,
                     const char *user, const struct store_claim *claim, struct claim_answer *answer)
{
    struct sandbox_create create = {.template_name = VIEW("base")};
    (void)view_copy(view_of(id), create.sandbox_id, ID_SIZE);
    (void)view_copy(view_of(user), create.user_id, ID_SIZE);
    *answer = (struct claim_answer){0};
    store_begin(stage->store, call, &create, "none", &stage->bounds, claim, claim_stage_on_begun,
                answer);
}

struct claim_answer claim_stage_create(struct claim_stage *stage, const char *user,
                                       const char *mode, const char *dead)
{
    struct store_call call;
    struct claim_answer answer;
    const struct store_claim claim = {mode, dead};
    claim_stage_ask(stage, &call, ASKED, user, &claim, &answer);
    turn_until(stage->loop, &answer.done);
    return answer;
}

void claim_stage_expect(const struct claim_stage *stage, const char *expected)
{
    postgres_expect(stage->postgres,
                    "SELECT coalesce(string_agg(right(id::text, 1) || ' ' || status, ',' "
                    "ORDER BY id), '') FROM warm_sandboxes",
                    expected);
}

int claim_stage_insert(void **state)
{
    const struct claim_stage *stage = *state;
    postgres_run(stage->postgres, "INSERT INTO users (id, tier) VALUES ('" USER "', 'free'), "
                                  "('" PRO_USER "', 'pro')");
    return 0;
}

int claim_stage_clear(void **state)
{
    struct claim_stage *stage = *state;
    stage->bounds = (struct store_bounds){.network = "none"};
    postgres_run(stage->postgres, "DELETE FROM users");
    postgres_run(stage->postgres, "DELETE FROM warm_sandboxes; DELETE FROM sandbox_events");
    return 0;
}

int claim_stage_open(void **state)
{
    static struct claim_stage stage;
    struct err err = {0};
    stage.postgres = postgres_start();
    postgres_migrate(stage.postgres);
    const char *url = postgres_service_url(stage.postgres, "sandbox");
    const struct store_options options = {
        .url = url, .instance = "test", .node = "node-1", .limits = LIMITS};
    const struct pool_store_options pool = {
        .url = url, .instance = "test", .node = "node-1", .bundle = BUNDLE, .limits = LIMITS};
    stage.loop = loop_new(&err);
    stage.store = store_open(stage.loop, &options, &err);
    stage.pool = pool_store_open(stage.loop, &pool, &err);
    assert_non_null(stage.store);
    assert_non_null(stage.pool);
    stage.bounds = (struct store_bounds){.network = "none"};
    *state = &stage;
    return 0;
}

int claim_stage_close(void **state)
{
    struct claim_stage *stage = *state;
    (void)store_fail_all(stage->store);
    store_close(stage->store);
    pool_store_close(stage->pool);
    loop_free(stage->loop);
    postgres_remove(stage->postgres);
    return 0;
}
