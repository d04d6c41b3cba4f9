/* sandbox-service/life/reaper.c: what is due is done when it is due, against a real PostgreSQL. */
#include "sandbox-service/life/reaper.h"

#include "tests/support/turn.h"
#include "tests/unit/sandbox-service/life_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int open_reaper(void **state)
{
    struct life_stage *stage = *state;
    struct err err = {0};
    (void)life_stage_set(state);
    stage->sandboxes.reaper = reaper_open(&stage->sandboxes, &err);
    assert_non_null(stage->sandboxes.reaper);
    return 0;
}

/* Its question may be under way: the answer must find it. */
static int close_reaper(void **state)
{
    struct life_stage *stage = *state;
    life_stage_change(stage, "expires_at = now() + interval '1 hour'");
    turn_for(stage->loop, REAPER_LOOK_MS / 10);
    stage->sandboxes.draining = true;
    turn_for(stage->loop, REAPER_LOOK_MS / 10);
    stage->sandboxes.draining = false;
    reaper_close(stage->sandboxes.reaper);
    stage->sandboxes.reaper = NULL;
    return life_stage_clear(state);
}

static void whose_time_is_over_ends(void **state)
{
    struct life_stage *stage = *state;
    life_stage_change(stage, "expires_at = now() + interval '1 second'");
    reaper_hurry(stage->sandboxes.reaper);
    life_stage_until(stage, "status", "destroyed");
    life_stage_expect(stage, "end_reason", "timeout");
    /* What was due next was known: nobody had to look every now and then. */
    life_stage_expect(stage, "ended_at - expires_at < interval '4 seconds'", "t");
    assert_string_equal(stage->engine.status, "");
}

static void who_was_idle_is_paused(void **state)
{
    struct life_stage *stage = *state;
    life_stage_change(stage, "on_timeout = 'pause', idle_timeout_ms = 1000");
    reaper_hurry(stage->sandboxes.reaper);
    life_stage_until(stage, "status", "paused");
    life_stage_expect(stage, "pause_reason", "idle");
    assert_string_equal(stage->engine.status, "paused");
}

/* Else a frozen engine would be asked as fast as it says no. */
static void one_that_can_not_be_paused_is_tried_again_later(void **state)
{
    struct life_stage *stage = *state;
    stage->engine.refuses = true;
    life_stage_change(stage, "on_timeout = 'pause', expires_at = now()");
    reaper_hurry(stage->sandboxes.reaper);
    life_stage_until(stage, "status = 'running' AND expires_at > now() + interval '1 second'", "t");
    assert_int_equal(stage->engine.acts, 1);
    stage->engine.refuses = false;
    life_stage_change(stage, "expires_at = now()");
    reaper_hurry(stage->sandboxes.reaper);
    life_stage_until(stage, "status", "paused");
}

static void end_is_announced(void **state)
{
    struct life_stage *stage = *state;
    life_stage_change(stage, "expires_at = now() + interval '30 seconds'");
    reaper_hurry(stage->sandboxes.reaper);
    life_stage_until(stage, "warned_of = expires_at", "t");
    life_stage_expect(stage, "status", "running");
}

static void user_who_is_suspended_has_none(void **state)
{
    struct life_stage *stage = *state;
    postgres_run(stage->postgres, "UPDATE users SET suspended_at = now()");
    reaper_hurry_user(stage->sandboxes.reaper);
    life_stage_until(stage, "status", "destroyed");
    life_stage_expect(stage, "end_reason", "suspended");
    postgres_run(stage->postgres, "UPDATE users SET suspended_at = NULL");
}

static void nothing_is_done_to_one_whose_time_is_not_over(void **state)
{
    struct life_stage *stage = *state;
    for (int i = 0; i < 20; i++) {
        reaper_hurry(stage->sandboxes.reaper);
        turn_for(stage->loop, 10);
    }
    life_stage_expect(stage, "status", "running");
    assert_int_equal(stage->engine.acts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_reaper, close_reaper)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whose_time_is_over_ends),
        TEST(who_was_idle_is_paused),
        TEST(one_that_can_not_be_paused_is_tried_again_later),
        TEST(end_is_announced),
        TEST(user_who_is_suspended_has_none),
        TEST(nothing_is_done_to_one_whose_time_is_not_over),
    };
    return cmocka_run_group_tests(tests, life_stage_open, life_stage_close);
}
