/* sandbox-service/life/still.c against a real PostgreSQL and an engine of one container. */
#include "sandbox-service/life/still.h"

#include "tests/support/turn.h"
#include "tests/unit/sandbox-service/life_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define WHY "concat_ws(' ', status, pause_reason)"
enum { A_WHILE_MS = 200 };

/* Somebody who keeps the sandbox still. */
struct keeper {
    struct still_hold hold;
    bool heard;
    struct err err;
};

static void on_ready(const struct err *err, void *arg)
{
    struct keeper *keeper = arg;
    assert_false(keeper->heard);
    keeper->heard = true;
    if (err != NULL) {
        keeper->err = *err;
    }
}

static int open_stills(void **state)
{
    struct life_stage *stage = *state;
    struct err err = {0};
    stage->sandboxes.stills = stills_open(&stage->sandboxes, &err);
    assert_non_null(stage->sandboxes.stills);
    return life_stage_set(state);
}

static int close_stills(void **state)
{
    struct life_stage *stage = *state;
    int result = life_stage_clear(state);
    turn_for(stage->loop, A_WHILE_MS); /* what was let go has been told to move on */
    stills_end(stage->sandboxes.stills);
    stills_close(stage->sandboxes.stills);
    stage->sandboxes.stills = NULL;
    return result;
}

static void begin(struct life_stage *stage, struct keeper *keeper)
{
    struct err err = {0};
    *keeper = (struct keeper){0};
    assert_true(
        still_begin(stage->sandboxes.stills, LIFE_BOX, &keeper->hold, on_ready, keeper, &err));
}

static void keep(struct life_stage *stage, struct keeper *keeper)
{
    begin(stage, keeper);
    turn_until(stage->loop, &keeper->heard);
    assert_string_equal(keeper->err.reason, "");
}

static void rest(const struct life_stage *stage, const char *reason)
{
    char changes[128];
    (void)snprintf(changes, sizeof changes,
                   "status = 'paused', pause_mode = 'freeze', pause_reason = '%s', left_ms = 60000",
                   reason);
    life_stage_change(stage, changes);
}

static void a_running_one_is_paused_for_it_and_moves_on(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    keep(stage, &keeper);
    life_stage_expect(stage, WHY, "paused snapshot");
    assert_string_equal(stage->engine.status, "paused");
    still_end(&keeper.hold);
    life_stage_until(stage, WHY, "running");
    assert_string_equal(stage->engine.status, "running");
    life_stage_expect(
        stage, "expires_at > now() + interval '59 minutes' AND awake_since = created_at", "t");
}

static void one_that_rests_stays_as_it_is(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    rest(stage, "user");
    (void)snprintf(stage->engine.status, sizeof stage->engine.status, "paused");
    keep(stage, &keeper);
    still_end(&keeper.hold);
    turn_for(stage->loop, A_WHILE_MS);
    life_stage_expect(stage, WHY, "paused user");
    assert_int_equal(stage->engine.acts, 0);
}

static void it_moves_on_when_the_last_lets_go(void **state)
{
    struct life_stage *stage = *state;
    struct keeper first;
    struct keeper second;
    begin(stage, &first);
    begin(stage, &second);
    turn_until(stage->loop, &first.heard);
    turn_until(stage->loop, &second.heard);
    still_end(&first.hold);
    turn_for(stage->loop, A_WHILE_MS);
    life_stage_expect(stage, WHY, "paused snapshot");
    still_end(&second.hold);
    life_stage_until(stage, WHY, "running");
    assert_int_equal(stage->engine.acts, 2);
}

static void whoever_gives_up_before_it_stands_leaves_it_running(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    begin(stage, &keeper);
    still_end(&keeper.hold);
    turn_for(stage->loop, A_WHILE_MS);
    life_stage_until(stage, WHY, "running");
    assert_string_equal(stage->engine.status, "running");
    assert_false(keeper.heard);
}

static void its_user_can_have_it_rest_from_then_on(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    keep(stage, &keeper);
    life_stage_change(stage, "pause_reason = 'user'");
    still_end(&keeper.hold);
    turn_for(stage->loop, A_WHILE_MS);
    life_stage_expect(stage, WHY, "paused user");
}

static void on_over(const struct err *err, void *arg)
{
    assert_null(err);
    *(bool *)arg = true;
}

static void a_resume_waits_until_it_is_let_go(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    bool over = false;
    struct shift_waiter waiter = {.over = on_over, .arg = &over};
    struct err err = {0};
    keep(stage, &keeper);
    life_stage_change(stage, "status = 'resuming'");
    assert_true(shift_begin(stage->sandboxes.shifts, LIFE_BOX,
                            &(struct shift_order){.is_resuming = true}, &trace_none, &waiter,
                            &err));
    turn_for(stage->loop, A_WHILE_MS);
    assert_false(over);
    assert_string_equal(stage->engine.status, "paused");
    still_end(&keeper.hold);
    turn_until(stage->loop, &over);
    life_stage_expect(stage, WHY, "running");
    assert_string_equal(stage->engine.status, "running");
}

static void one_that_has_ended_is_not_kept(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    life_stage_change(stage, "status = 'stopping', end_reason = 'user'");
    begin(stage, &keeper);
    turn_until(stage->loop, &keeper.heard);
    assert_string_equal(keeper.err.reason, "sandbox_gone");
}

static void what_an_engine_refuses_to_pause_goes_on(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    stage->engine.refuses = true;
    begin(stage, &keeper);
    turn_until(stage->loop, &keeper.heard);
    assert_string_equal(keeper.err.reason, "docker_unavailable");
    life_stage_until(stage, WHY, "running");
}

/* Whose shift it was has heard of its failure; whoever keeps it still finds what it has come to. */
static void resume_of_another_that_fails_leaves_it_at_rest_and_still(void **state)
{
    struct life_stage *stage = *state;
    struct keeper keeper;
    struct err err = {0};
    rest(stage, "user");
    life_stage_change(stage, "status = 'resuming'");
    (void)snprintf(stage->engine.status, sizeof stage->engine.status, "paused");
    stage->engine.refuses = true;
    assert_true(shift_begin(stage->sandboxes.shifts, LIFE_BOX,
                            &(struct shift_order){.is_resuming = true}, &trace_none, NULL, &err));
    keep(stage, &keeper);
    life_stage_expect(stage, WHY, "paused user");
    still_end(&keeper.hold);
}

/* The next process has it move on: this one asks nobody any more. */
static void at_the_end_of_the_process_nothing_is_asked(void **state)
{
    struct life_stage *stage = *state;
    struct err err = {0};
    struct keeper keeper;
    keep(stage, &keeper);
    stills_end(stage->sandboxes.stills);
    still_end(&keeper.hold);
    stills_close(stage->sandboxes.stills);
    turn_for(stage->loop, A_WHILE_MS);
    life_stage_expect(stage, WHY, "paused snapshot");
    stage->sandboxes.stills = stills_open(&stage->sandboxes, &err);
    assert_non_null(stage->sandboxes.stills);
}

static void what_an_earlier_process_left_moves_on(void **state)
{
    struct life_stage *stage = *state;
    struct err err = {0};
    stills_end(stage->sandboxes.stills);
    stills_close(stage->sandboxes.stills);
    rest(stage, "snapshot");
    (void)snprintf(stage->engine.status, sizeof stage->engine.status, "paused");
    stage->sandboxes.engine_ready = true;
    stage->sandboxes.stills = stills_open(&stage->sandboxes, &err);
    assert_non_null(stage->sandboxes.stills);
    life_stage_until(stage, WHY, "running");
    stage->sandboxes.engine_ready = false;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stills, close_stills)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_running_one_is_paused_for_it_and_moves_on),
        TEST(one_that_rests_stays_as_it_is),
        TEST(it_moves_on_when_the_last_lets_go),
        TEST(whoever_gives_up_before_it_stands_leaves_it_running),
        TEST(its_user_can_have_it_rest_from_then_on),
        TEST(a_resume_waits_until_it_is_let_go),
        TEST(one_that_has_ended_is_not_kept),
        TEST(what_an_engine_refuses_to_pause_goes_on),
        TEST(resume_of_another_that_fails_leaves_it_at_rest_and_still),
        TEST(at_the_end_of_the_process_nothing_is_asked),
        TEST(what_an_earlier_process_left_moves_on),
    };
    return cmocka_run_group_tests(tests, life_stage_open, life_stage_close);
}
