/* sandbox-service/sandbox/store.c and pool/store.c: how rows of the pool come, wait and leave. */
#include "sandbox-service/docker/wire.h"
#include "tests/unit/sandbox-service/claim_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void on_next_image(const PGresult *result, const struct err *err, void *arg)
{
    struct claim_answer *answer = arg;
    claim_stage_on_rows(result, err, arg);
    assert_int_equal(answer->rows, 1);
    (void)snprintf(answer->image, sizeof "insien/base:latest", "%s",
                   pool_store_read_image(result, 0));
}

static void on_connected(const PGresult *result, const struct err *err, void *arg)
{
    struct claim_answer *answer = arg;
    struct store_connected connected;
    claim_stage_on_rows(result, err, arg);
    store_read_connected(result, &connected);
    answer->is_warm = connected.is_warm && connected.accepted;
}

static struct claim_answer connect_agent(struct claim_stage *stage, const char *id,
                                         int64_t generation)
{
    struct store_call call;
    struct claim_answer answer = {0};
    store_connect(stage->store, &call, id, generation, on_connected, &answer);
    turn_until(stage->loop, &answer.done);
    return answer;
}

static struct claim_answer add(struct claim_stage *stage)
{
    const struct store_warm warm = {"base", "none", "free", BUNDLE};
    struct store_call call;
    struct claim_answer answer = {0};
    store_add_warm(stage->store, &call, FIRST, &warm, &stage->bounds, claim_stage_on_rows, &answer);
    turn_until(stage->loop, &answer.done);
    return answer;
}

static void one_waits_when_its_image_is_known_and_its_agent_connected(void **state)
{
    struct claim_stage *stage = *state;
    struct store_call call;
    struct claim_answer answer = {0};
    assert_int_equal(add(stage).rows, 1);
    claim_stage_expect(stage, "1 starting");
    assert_false(connect_agent(stage, FIRST, 7).is_warm);
    assert_true(connect_agent(stage, FIRST, 1).is_warm);
    claim_stage_expect(stage, "1 ready");
    assert_string_equal(claim_stage_create(stage, USER, "warm", "").id, "");
    store_set_image(stage->store, &call, FIRST, &(struct wire_image){.id = "sha256:1"},
                    claim_stage_on_rows, &answer);
    turn_until(stage->loop, &answer.done);
    assert_int_equal(answer.rows, 1);
    assert_string_equal(claim_stage_create(stage, USER, "warm", "").id, FIRST);
    assert_int_equal(connect_agent(stage, FIRST, 2).rows, 1);
}

static void one_is_bound_to_processors_that_others_are_not(void **state)
{
    struct claim_stage *stage = *state;
    stage->bounds.cpus = 2;
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
    postgres_run(stage->postgres, "UPDATE warm_sandboxes SET cpus = '{0}'");
    assert_int_equal(add(stage).rows, 1);
    postgres_expect(stage->postgres, "SELECT cpus FROM warm_sandboxes WHERE id = '" FIRST "'",
                    "{1}");
}

static void what_waits_takes_no_room_and_is_made_only_where_there_is_some(void **state)
{
    struct claim_stage *stage = *state;
    stage->bounds.node_memory_mb = FREE_MB + FREE_MB / 2;
    assert_int_equal(add(stage).rows, 1);
    assert_int_equal(claim_stage_create(stage, USER, "cold", "").rows, 1);
    postgres_run(stage->postgres, "DELETE FROM warm_sandboxes");
    assert_string_equal(add(stage).err.reason, "node_full");
    postgres_run(stage->postgres, "DELETE FROM sandboxes");
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
    assert_string_equal(add(stage).err.reason, "node_full");
}

static struct claim_answer end(struct claim_stage *stage)
{
    const struct store_end how = {.reason = "error", .container_status = "removed", .error = ""};
    struct store_call call;
    struct claim_answer answer = {0};
    store_end(stage->store, &call, FIRST, &how, claim_stage_on_rows, &answer);
    turn_until(stage->loop, &answer.done);
    return answer;
}

static void one_that_dies_leaves_and_is_gone(void **state)
{
    struct claim_stage *stage = *state;
    struct store_call call;
    struct claim_answer answer = {0};
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    assert_int_equal(end(stage).rows, 1);
    assert_int_equal(end(stage).rows, 0);
    claim_stage_expect(stage, "1 leaving");
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, ASKED);
    assert_false(connect_agent(stage, FIRST, 1).is_warm);
    store_finish(stage->store, &call, FIRST, claim_stage_on_rows, &answer);
    turn_until(stage->loop, &answer.done);
    claim_stage_expect(stage, "");
}

static void one_that_nobody_starts_any_more_leaves(void **state)
{
    struct claim_stage *stage = *state;
    struct store_call call;
    struct claim_answer answer = {0};
    assert_int_equal(add(stage).rows, 1);
    store_fail(stage->store, &call, FIRST, "error", claim_stage_on_rows, &answer);
    turn_until(stage->loop, &answer.done);
    assert_int_equal(answer.rows, 1);
    claim_stage_expect(stage, "1 leaving");
}

static void on_live(const PGresult *result, const struct err *err, void *arg)
{
    struct claim_answer *answer = arg;
    claim_stage_on_rows(result, err, arg);
    assert_int_equal(answer->rows, 1);
    assert_true(
        view_copy(view_of(store_read_status(result, 0)), answer->status, sizeof answer->status));
}

static void to_whoever_compares_they_are_as_sandboxes(void **state)
{
    struct claim_stage *stage = *state;
    static const char *const statuses[][2] = {
        {"starting", "creating"}, {"ready", "running"}, {"leaving", "stopping"}};
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct store_call call;
        struct claim_answer answer = {0};
        char sql[SQL_SIZE];
        (void)snprintf(sql, sizeof sql, "UPDATE warm_sandboxes SET status = '%s'", statuses[i][0]);
        postgres_run(stage->postgres, sql);
        store_live(stage->store, &call, on_live, &answer);
        turn_until(stage->loop, &answer.done);
        assert_string_equal(answer.status, statuses[i][1]);
    }
}

static void on_destroyed(const PGresult *result, const struct err *err, void *arg)
{
    struct claim_answer *answer = arg;
    claim_stage_on_rows(result, err, arg);
    assert_int_equal(answer->rows, 1);
    assert_true(store_read_moved(result));
    assert_true(view_copy(view_of(store_read_destroyed(result)), answer->id, ID_SIZE));
}

static void it_is_destroyed_by_the_id_that_was_chosen_too(void **state)
{
    struct claim_stage *stage = *state;
    struct store_call call;
    struct claim_answer answer = {0};
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
    store_destroy(stage->store, &call, ASKED, USER, "", on_destroyed, &answer);
    turn_until(stage->loop, &answer.done);
    assert_string_equal(answer.id, FIRST);
}

static void what_would_be_made_otherwise_today_leaves(void **state)
{
    struct claim_stage *stage = *state;
    static const char *const changes[] = {
        "UPDATE warm_sandboxes SET bundle = 'agent-0'",
        "UPDATE warm_sandboxes SET memory_mb = 500",
        "UPDATE warm_sandboxes SET image = 'insien/base:old'",
        "UPDATE warm_sandboxes SET work_dir = NULL, ready_at = now() - interval '3 minutes'",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct claim_answer answer = {0};
        struct err err = {0};
        postgres_run(stage->postgres, "DELETE FROM warm_sandboxes");
        claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
        claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
        char sql[SQL_SIZE];
        (void)snprintf(sql, sizeof sql, "%s WHERE id = '" SECOND "'", changes[i]);
        postgres_run(stage->postgres, sql);
        assert_true(pool_store_shed_stale(stage->pool, claim_stage_on_rows, &answer, &err));
        turn_until(stage->loop, &answer.done);
        assert_int_equal(answer.rows, 1);
        claim_stage_expect(stage, "1 ready,2 leaving");
    }
}

static const char *next_image(struct claim_stage *stage, const char *after)
{
    static char image[sizeof "insien/base:latest"];
    struct claim_answer answer = {0};
    struct err err = {0};
    answer.image = image;
    assert_true(pool_store_next_image(stage->pool, after, on_next_image, &answer, &err));
    turn_until(stage->loop, &answer.done);
    return image;
}

static void each_image_comes_up_in_turn(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
    postgres_run(stage->postgres, "UPDATE warm_sandboxes SET image = 'a' WHERE id = '" FIRST "';"
                                  "UPDATE warm_sandboxes SET image = 'b' WHERE id = '" SECOND "'");
    assert_string_equal(next_image(stage, ""), "a");
    assert_string_equal(next_image(stage, "a"), "b");
    assert_string_equal(next_image(stage, "b"), "a");
}

static void what_was_made_from_what_the_image_was_before_leaves(void **state)
{
    struct claim_stage *stage = *state;
    struct claim_answer answer = {0};
    struct err err = {0};
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
    postgres_run(stage->postgres,
                 "UPDATE warm_sandboxes SET image = 'a', image_id = "
                 "CASE id WHEN '" FIRST "' THEN 'sha256:new' ELSE 'sha256:old' END");
    assert_true(
        pool_store_shed_image(stage->pool, "a", "sha256:new", claim_stage_on_rows, &answer, &err));
    turn_until(stage->loop, &answer.done);
    assert_int_equal(answer.rows, 1);
    claim_stage_expect(stage, "1 ready,2 leaving");
}

static void of_too_many_the_oldest_leave(void **state)
{
    struct claim_stage *stage = *state;
    const struct pool_kind kind = {.template_name = "base", .network = "none", .tier = TIER_FREE};
    struct claim_answer answer = {0};
    struct err err = {0};
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 1);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
    assert_true(pool_store_shed(stage->pool, &kind, 1, claim_stage_on_rows, &answer, &err));
    turn_until(stage->loop, &answer.done);
    assert_int_equal(answer.rows, 1);
    claim_stage_expect(stage, "1 ready,2 leaving");
}

static void on_survey(const PGresult *result, const struct err *err, void *arg)
{
    struct pool_kinds *kinds = arg;
    assert_null(err);
    for (int row = 0; row < pg_rows(result); row++) {
        pool_store_read_kind(result, row, kinds);
    }
}

static bool are_two(void *arg)
{
    return ((const struct pool_kinds *)arg)->count == 2;
}

static void what_there_is_and_what_was_asked_for_is_counted(void **state)
{
    struct claim_stage *stage = *state;
    struct pool_kinds kinds = {0};
    struct err err = {0};
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
    assert_string_equal(claim_stage_create(stage, PRO_USER, "cold", "").id, ASKED);
    assert_true(pool_store_survey(stage->pool, on_survey, &kinds, &err));
    turn_until_true(stage->loop, are_two, &kinds);
    const struct pool_kind *busy = pool_kinds_find(&kinds, VIEW("base"), VIEW("none"), TIER_PRO);
    const struct pool_kind *kept = pool_kinds_find(&kinds, VIEW("base"), VIEW("none"), TIER_FREE);
    assert_int_equal(busy->peak, 1);
    assert_int_equal(busy->warm, 0);
    assert_int_equal(kept->peak, 0);
    assert_int_equal(kept->warm, 2);
}

static void on_counted(const PGresult *result, const struct err *err, void *arg)
{
    struct pool_kinds *kinds = arg;
    assert_null(err);
    pool_store_read_counts(result, kinds);
}

static void those_that_wait_are_counted_alone(void **state)
{
    struct claim_stage *stage = *state;
    struct pool_kinds kinds = {0};
    struct err err = {0};
    struct pool_kind *gone = pool_kinds_find(&kinds, VIEW("tiny"), VIEW("none"), TIER_FREE);
    gone->warm = 7;
    gone->peak = 3;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 0);
    assert_true(pool_store_count(stage->pool, on_counted, &kinds, &err));
    turn_until_true(stage->loop, are_two, &kinds);
    assert_int_equal(gone->warm, 0);
    assert_int_equal(gone->peak, 3);
    assert_int_equal(kinds.items[1].warm, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, claim_stage_insert, claim_stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_is_bound_to_processors_that_others_are_not),
        TEST(what_waits_takes_no_room_and_is_made_only_where_there_is_some),
        TEST(one_waits_when_its_image_is_known_and_its_agent_connected),
        TEST(one_that_dies_leaves_and_is_gone),
        TEST(one_that_nobody_starts_any_more_leaves),
        TEST(to_whoever_compares_they_are_as_sandboxes),
        TEST(it_is_destroyed_by_the_id_that_was_chosen_too),
        TEST(what_would_be_made_otherwise_today_leaves),
        TEST(each_image_comes_up_in_turn),
        TEST(what_was_made_from_what_the_image_was_before_leaves),
        TEST(of_too_many_the_oldest_leave),
        TEST(what_there_is_and_what_was_asked_for_is_counted),
        TEST(those_that_wait_are_counted_alone),
    };
    return cmocka_run_group_tests(tests, claim_stage_open, claim_stage_close);
}
