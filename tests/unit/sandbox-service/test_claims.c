/* sandbox-service/sandbox/store.c: who gets what waits in the pool. */
#include "tests/unit/sandbox-service/claim_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

enum { RACERS = 24, RACE_PRIZES = 9 };

static void the_one_that_waits_is_the_users_and_runs(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    const struct claim_answer answer = claim_stage_create(stage, USER, "any", "");
    assert_int_equal(answer.rows, 1);
    assert_string_equal(answer.id, FIRST);
    assert_string_equal(answer.status, "running");
    assert_string_equal(answer.work_dir, "/srv");
    assert_true(answer.is_warm);
    assert_false(answer.limits_differ);
    assert_int_equal(answer.generation, 1);
    claim_stage_expect(stage, "");
    postgres_expect(stage->postgres,
                    "SELECT concat_ws(' ', user_id, create_id, container_running, "
                    "started_at IS NOT NULL, expires_at > created_at) FROM sandboxes",
                    USER " " ASKED " t t t");
}

static void when_none_waits_a_container_is_started(void **state)
{
    struct claim_stage *stage = *state;
    const struct claim_answer answer = claim_stage_create(stage, USER, "any", "");
    assert_string_equal(answer.id, ASKED);
    assert_string_equal(answer.status, "creating");
    assert_false(answer.is_warm);
    assert_false(answer.limits_differ);
}

static void when_none_waits_and_nothing_else_would_do_there_is_no_row(void **state)
{
    struct claim_stage *stage = *state;
    const struct claim_answer answer = claim_stage_create(stage, USER, "warm", "");
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_int_equal(answer.rows, 0);
    postgres_expect(stage->postgres, "SELECT count(*) FROM sandboxes", "0");
}

static void who_wants_a_new_one_gets_it(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    assert_string_equal(claim_stage_create(stage, USER, "cold", "").id, ASKED);
    claim_stage_expect(stage, "1 ready");
}

static void a_claim_that_is_refused_leaves_the_pool_as_it_was(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    postgres_run(stage->postgres, "UPDATE users SET suspended_at = now() WHERE id = '" USER "'");
    assert_string_equal(claim_stage_create(stage, USER, "any", "").err.reason, "user_suspended");
    claim_stage_expect(stage, "1 ready");
    postgres_expect(stage->postgres, "SELECT count(*) FROM sandboxes", "0");
}

static void the_same_create_again_takes_no_other(void **state)
{
    struct claim_stage *stage = *state;
    struct store_call call;
    struct claim_answer answer = {0};
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 1);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").err.reason, "sandbox_exists");
    claim_stage_expect(stage, "2 ready");
    store_get_created(stage->store, &call, ASKED, claim_stage_on_begun, &answer);
    turn_until(stage->loop, &answer.done);
    assert_string_equal(answer.id, FIRST);
    assert_true(answer.is_warm);
}

static void a_dead_one_is_exchanged_as_if_it_had_never_been(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 1);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
    assert_string_equal(claim_stage_create(stage, USER, "any", FIRST).id, SECOND);
    claim_stage_expect(stage, "1 leaving");
    postgres_expect(stage->postgres, "SELECT string_agg(id::text, ',') FROM sandboxes", SECOND);
    assert_string_equal(claim_stage_create(stage, USER, "cold", SECOND).id, ASKED);
    claim_stage_expect(stage, "1 leaving,2 leaving");
    postgres_expect(stage->postgres,
                    "SELECT string_agg(type || ' ' || coalesce(cause, ''), ',' ORDER BY id) "
                    "FROM sandbox_events WHERE sandbox_id = '" FIRST "'",
                    "sandbox.creating create,sandbox.running ,sandbox.failed agent_lost");
}

static void one_that_ended_meanwhile_stays_in_the_list(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
    postgres_run(stage->postgres, "UPDATE sandboxes SET status = 'stopping', end_reason = 'oom'");
    assert_string_equal(claim_stage_create(stage, USER, "any", FIRST).id, ASKED);
    postgres_expect(stage->postgres, "SELECT count(*) FROM sandboxes", "2");
}

static void nothing_comes_in_the_place_of_what_its_user_ended(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 1);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
    postgres_run(stage->postgres, "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'");
    assert_string_equal(claim_stage_create(stage, USER, "any", FIRST).err.reason, "sandbox_ended");
    claim_stage_expect(stage, "2 ready");
    postgres_expect(stage->postgres, "SELECT create_id FROM sandboxes", ASKED);
}

static void one_that_rests_is_not_dead(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "free", FREE_MB, 1);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
    postgres_run(stage->postgres, "UPDATE sandboxes SET status = 'paused', pause_mode = 'freeze', "
                                  "pause_reason = 'user', paused_at = now(), left_ms = 1000");
    assert_string_equal(claim_stage_create(stage, USER, "any", FIRST).err.reason, "sandbox_exists");
    claim_stage_expect(stage, "2 ready");
    postgres_expect(stage->postgres, "SELECT status || ' ' || create_id FROM sandboxes",
                    "paused " ASKED);
}

static void nobody_gives_back_what_is_anothers(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
    assert_string_equal(claim_stage_create(stage, PRO_USER, "any", FIRST).err.reason,
                        "sandbox_exists");
    postgres_expect(stage->postgres, "SELECT status FROM sandboxes", "running");
}

static void one_of_the_users_tier_is_preferred(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    claim_stage_wait(stage, SECOND, "pro", PRO_MB, 1);
    postgres_run(stage->postgres, "UPDATE warm_sandboxes SET cpu_milli = 2000, pids = 1024 "
                                  "WHERE tier = 'pro'");
    const struct claim_answer answer = claim_stage_create(stage, PRO_USER, "any", "");
    assert_string_equal(answer.id, SECOND);
    assert_false(answer.limits_differ);
}

static void one_of_another_tier_is_taken_and_its_limits_are_told(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    const struct claim_answer answer = claim_stage_create(stage, PRO_USER, "any", "");
    assert_string_equal(answer.id, FIRST);
    assert_true(answer.limits_differ);
    postgres_expect(stage->postgres, "SELECT memory_mb FROM sandboxes", "1024");
}

static void what_was_made_from_another_template_is_not_given(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    postgres_run(stage->postgres, "UPDATE warm_sandboxes SET profile = 'locked'");
    assert_string_equal(claim_stage_create(stage, USER, "any", "").err.reason, "pool_stale");
    claim_stage_expect(stage, "1 ready");
    postgres_run(stage->postgres, "UPDATE warm_sandboxes SET network = 'open'");
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, ASKED);
}

static void a_disk_that_the_engine_holds_must_be_the_one_that_is_wanted(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    stage->bounds.limits_disk = true;
    assert_string_equal(claim_stage_create(stage, PRO_USER, "any", "").err.reason, "pool_stale");
    assert_string_equal(claim_stage_create(stage, USER, "any", "").id, FIRST);
}

static void its_processors_stay_unless_it_gets_more(void **state)
{
    struct claim_stage *stage = *state;
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    postgres_run(stage->postgres, "UPDATE warm_sandboxes SET cpus = '{2}'");
    stage->bounds.cpus = 4;
    assert_false(claim_stage_create(stage, USER, "any", "").limits_differ);
    postgres_expect(stage->postgres, "SELECT cpus FROM sandboxes", "{2}");
    postgres_run(stage->postgres, "DELETE FROM sandboxes");
    claim_stage_wait(stage, FIRST, "free", FREE_MB, 0);
    postgres_run(stage->postgres, "UPDATE warm_sandboxes SET cpus = '{2}'");
    assert_true(claim_stage_create(stage, PRO_USER, "any", "").limits_differ);
    postgres_expect(stage->postgres, "SELECT cpus FROM sandboxes", "{0,1}");
}

static void racers_get_each_one_once(void **state)
{
    struct claim_stage *stage = *state;
    static struct store_call calls[RACERS];
    static struct claim_answer answers[RACERS];
    const struct store_claim claim = {"any", ""};
    char id[ID_SIZE];
    char user[ID_SIZE];
    int warm = 0;
    postgres_run(stage->postgres,
                 "INSERT INTO users (id, tier) SELECT ('33333333-3333-4333-8333-' || "
                 "lpad(i::text, 12, '0'))::uuid, 'pro' FROM generate_series(0, 23) AS i");
    for (int i = 0; i < RACE_PRIZES; i++) {
        (void)snprintf(id, sizeof id, "aaaaaaaa-aaaa-4aaa-8aaa-%012d", i);
        claim_stage_wait(stage, id, "pro", PRO_MB, i);
    }
    for (int i = 0; i < RACERS; i++) {
        (void)snprintf(id, sizeof id, "bbbbbbbb-bbbb-4bbb-8bbb-%012d", i);
        (void)snprintf(user, sizeof user, "33333333-3333-4333-8333-%012d", i);
        claim_stage_ask(stage, &calls[i], id, user, &claim, &answers[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        turn_until(stage->loop, &answers[i].done);
        assert_int_equal(answers[i].rows, 1);
        warm += answers[i].is_warm ? 1 : 0;
    }
    assert_int_equal(warm, RACE_PRIZES);
    claim_stage_expect(stage, "");
    postgres_expect(stage->postgres, "SELECT count(DISTINCT id) FROM sandboxes", "24");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, claim_stage_insert, claim_stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_one_that_waits_is_the_users_and_runs),
        TEST(when_none_waits_a_container_is_started),
        TEST(when_none_waits_and_nothing_else_would_do_there_is_no_row),
        TEST(who_wants_a_new_one_gets_it),
        TEST(a_claim_that_is_refused_leaves_the_pool_as_it_was),
        TEST(the_same_create_again_takes_no_other),
        TEST(a_dead_one_is_exchanged_as_if_it_had_never_been),
        TEST(one_that_ended_meanwhile_stays_in_the_list),
        TEST(nothing_comes_in_the_place_of_what_its_user_ended),
        TEST(one_that_rests_is_not_dead),
        TEST(nobody_gives_back_what_is_anothers),
        TEST(one_of_the_users_tier_is_preferred),
        TEST(one_of_another_tier_is_taken_and_its_limits_are_told),
        TEST(what_was_made_from_another_template_is_not_given),
        TEST(a_disk_that_the_engine_holds_must_be_the_one_that_is_wanted),
        TEST(its_processors_stay_unless_it_gets_more),
        TEST(racers_get_each_one_once),
    };
    return cmocka_run_group_tests(tests, claim_stage_open, claim_stage_close);
}
