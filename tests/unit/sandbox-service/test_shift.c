/* sandbox-service/life/shift.c: what becomes of a sandbox's row and container on the way to rest
 * and back, whatever the engine says. */
#include "sandbox-service/life/shift.h"

#include "sandbox-service/sandbox/starts.h"
#include "tests/support/turn.h"
#include "tests/unit/sandbox-service/life_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define STATUS_IS(stage, expected) life_stage_expect(stage, "status", expected)
#define PAUSING(mode) "status = 'pausing', pause_mode = '" mode "', pause_reason = 'user'"
#define PAUSED(mode)                                                                               \
    "status = 'paused', pause_mode = '" mode "', pause_reason = 'user', left_ms = 60000"
#define RESUMING(mode)                                                                             \
    "status = 'resuming', pause_mode = '" mode "', pause_reason = 'user', left_ms = 60000"

enum { WAITERS = 3, PATH_SIZE = AGENT_DIR_PATH_SIZE + 32 };

struct wait {
    struct shift_waiter waiter;
    bool over;
    struct err err;
};

static void on_over(const struct err *err, void *arg)
{
    struct wait *wait = arg;
    assert_false(wait->over);
    wait->over = true;
    wait->err = err == NULL ? (struct err){0} : *err;
}

static void begin(struct life_stage *stage, const struct shift_order *order, struct wait *wait)
{
    struct err err = {0};
    *wait = (struct wait){.waiter = {.over = on_over, .arg = wait}};
    assert_true(
        shift_begin(stage->sandboxes.shifts, LIFE_BOX, order, &trace_none, &wait->waiter, &err));
    assert_false(wait->over);
}

static void join(struct life_stage *stage, struct wait *wait)
{
    struct err err = {0};
    *wait = (struct wait){.waiter = {.over = on_over, .arg = wait}};
    assert_true(shift_join(stage->sandboxes.shifts, LIFE_BOX, &trace_none, &wait->waiter, &err));
    assert_false(wait->over);
}

static void expect_over(struct life_stage *stage, struct wait *wait, const char *reason)
{
    turn_until(stage->loop, &wait->over);
    assert_string_equal(wait->err.reason, reason);
    assert_false(shift_is_under_way(stage->sandboxes.shifts, LIFE_BOX));
}

static void set_container(struct life_stage *stage, const char *status)
{
    (void)snprintf(stage->engine.status, sizeof stage->engine.status, "%s", status);
}

static bool runs(void *arg)
{
    const struct life_stage *stage = arg;
    return strcmp(stage->engine.status, "running") == 0;
}

static void frozen_and_back(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    life_stage_change(stage, PAUSING("freeze"));
    begin(stage, &(struct shift_order){0}, &wait);
    expect_over(stage, &wait, "");
    assert_string_equal(stage->engine.status, "paused");
    STATUS_IS(stage, "paused");
    life_stage_change(stage, "status = 'resuming'");
    begin(stage, &(struct shift_order){.is_resuming = true}, &wait);
    expect_over(stage, &wait, "");
    assert_string_equal(stage->engine.status, "running");
    STATUS_IS(stage, "running");
    assert_int_equal(stage->engine.acts, 2);
}

/* The agent of one that rested on disk has forgotten its credential. */
static void from_disk_it_waits_for_the_agent(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    char path[AGENT_DIR_PATH_SIZE];
    char token[PATH_SIZE];
    set_container(stage, "exited");
    life_stage_change(stage, RESUMING("disk"));
    begin(stage, &(struct shift_order){.is_resuming = true, .on_disk = true, .generation = 4},
          &wait);
    turn_until_true(stage->loop, runs, stage);
    turn_for(stage->loop, 100);
    assert_false(wait.over);
    agent_dir_path(&stage->dirs, LIFE_BOX, path);
    (void)snprintf(token, sizeof token, "grep -qs '[.].*[.]' %s/*", path);
    assert_int_equal(system(token), 0); /* NOLINT(cert-env33-c): a test's own folder */
    shift_agent_came(stage->sandboxes.shifts, LIFE_BOX);
    expect_over(stage, &wait, "");
}

static void on_turn(void *arg)
{
    *(bool *)arg = true;
}

/* The one start that the stage has at a time is somebody else's. */
static void from_disk_it_waits_for_its_turn(void **state)
{
    struct life_stage *stage = *state;
    struct starts *starts = stage->sandboxes.starts;
    struct start_turn turn = {0};
    struct wait waits[2];
    struct err err = {0};
    bool goes = false;
    static const struct shift_order order = {
        .is_resuming = true, .on_disk = true, .user_id = LIFE_OWNER};
    set_container(stage, "exited");
    assert_true(starts_enter(starts, &turn, LIFE_OWNER, on_turn, &goes, &err));
    turn_until(stage->loop, &goes);
    for (int i = 0; i < 2; i++) {
        life_stage_change(stage, RESUMING("disk"));
        begin(stage, &order, &waits[i]);
        turn_for(stage->loop, 50);
        assert_int_equal(starts_waiting(starts), 1);
        if (i == 0) { /* nothing was done to it */
            shift_abort(stage->sandboxes.shifts, LIFE_BOX);
            expect_over(stage, &waits[i], "sandbox_ended");
            assert_int_equal(starts_waiting(starts), 0);
        }
    }
    assert_int_equal(stage->engine.acts, 0);
    starts_leave(starts, &turn);
    turn_until_true(stage->loop, runs, stage);
    shift_agent_came(stage->sandboxes.shifts, LIFE_BOX);
    expect_over(stage, &waits[1], "");
    assert_true(starts_are_quiet(starts));
}

static void of_many_that_wait_each_hears_once(void **state)
{
    struct life_stage *stage = *state;
    struct wait waits[WAITERS];
    life_stage_change(stage, PAUSING("freeze"));
    begin(stage, &(struct shift_order){0}, &waits[0]);
    for (int i = 1; i < WAITERS; i++) {
        join(stage, &waits[i]);
    }
    for (int i = 0; i < WAITERS; i++) {
        expect_over(stage, &waits[i], "");
    }
    assert_int_equal(stage->engine.acts, 1);
}

static void one_who_left_hears_nothing(void **state)
{
    struct life_stage *stage = *state;
    struct wait gone;
    struct wait wait;
    life_stage_change(stage, PAUSING("freeze"));
    begin(stage, &(struct shift_order){0}, &gone);
    join(stage, &wait);
    list_remove(&gone.waiter.node);
    expect_over(stage, &wait, "");
    assert_false(gone.over);
}

static void refused_pause_leaves_it_running(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    stage->engine.refuses = true;
    life_stage_change(stage, PAUSING("freeze"));
    begin(stage, &(struct shift_order){0}, &wait);
    expect_over(stage, &wait, "docker_unavailable");
    STATUS_IS(stage, "running");
}

static void refused_resume_leaves_it_at_rest(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    set_container(stage, "paused");
    stage->engine.refuses = true;
    life_stage_change(stage, RESUMING("freeze"));
    begin(stage, &(struct shift_order){.is_resuming = true}, &wait);
    expect_over(stage, &wait, "docker_unavailable");
    STATUS_IS(stage, "paused");
    assert_string_equal(stage->engine.status, "paused");
}

static void failed_resume_is_told_when_it_rests_again(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    stage->engine.refuses = true;
    set_container(stage, "exited");
    life_stage_change(stage, RESUMING("disk"));
    begin(stage, &(struct shift_order){.is_resuming = true, .on_disk = true}, &wait);
    expect_over(stage, &wait, "docker_unavailable");
    STATUS_IS(stage, "paused");
}

/* Whoever was inside before may have put a link there. */
static void volume_that_would_lie_elsewhere_keeps_it_at_rest(void **state)
{
    static const struct engine_path paths[] = {{"/data", 200, ENGINE_LINK}, {NULL, 0, NULL}};
    struct life_stage *stage = *state;
    struct wait wait;
    life_stage_change(stage, RESUMING("disk"));
    set_container(stage, "exited");
    stage->engine.mounts = "[{\"Destination\":\"/data\"}]";
    stage->engine.paths = paths;
    begin(stage, &(struct shift_order){.is_resuming = true, .on_disk = true}, &wait);
    expect_over(stage, &wait, "volume_path_unsafe");
    STATUS_IS(stage, "paused");
    assert_string_equal(stage->engine.status, "exited");
}

static void what_was_done_counts_whatever_the_answer(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    stage->engine.forgets = true;
    life_stage_change(stage, PAUSING("freeze"));
    begin(stage, &(struct shift_order){0}, &wait);
    expect_over(stage, &wait, "");
    STATUS_IS(stage, "paused");
}

/* Of late news: it is refused as if it were done, and is not. */
static void word_that_does_not_last_is_not_believed(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    for (int answers = 2; answers <= 4; answers++) {
        set_container(stage, "paused");
        stage->engine.believes = "running";
        stage->engine.believes_for = answers;
        stage->engine.acts = 0;
        life_stage_change(stage, RESUMING("freeze"));
        begin(stage, &(struct shift_order){.is_resuming = true}, &wait);
        expect_over(stage, &wait, "");
        assert_string_equal(stage->engine.status, "running");
        assert_int_equal(stage->engine.acts, 2);
        STATUS_IS(stage, "running");
    }
}

static void one_that_was_paused_already_is_paused(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    set_container(stage, "paused");
    life_stage_change(stage, PAUSING("freeze"));
    begin(stage, &(struct shift_order){0}, &wait);
    expect_over(stage, &wait, "");
    STATUS_IS(stage, "paused");
}

static void container_that_is_gone_ends_the_sandbox(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    set_container(stage, "");
    life_stage_change(stage, PAUSING("freeze"));
    begin(stage, &(struct shift_order){0}, &wait);
    expect_over(stage, &wait, "sandbox_ended");
    life_stage_until(stage, "status", "destroyed");
    life_stage_expect(stage, "end_reason", "error");
}

static void row_that_ended_meanwhile_is_left_alone(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    life_stage_change(stage, "status = 'stopping', end_reason = 'user'");
    begin(stage, &(struct shift_order){0}, &wait);
    expect_over(stage, &wait, "sandbox_ended");
    STATUS_IS(stage, "stopping");
}

static void agent_of_one_that_ends_is_not_waited_for(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    set_container(stage, "exited");
    life_stage_change(stage, RESUMING("disk"));
    begin(stage, &(struct shift_order){.is_resuming = true, .on_disk = true}, &wait);
    turn_until_true(stage->loop, runs, stage);
    turn_for(stage->loop, 100);
    shift_abort(stage->sandboxes.shifts, LIFE_BOX);
    expect_over(stage, &wait, "sandbox_ended");
}

/* What another process left half done. */
static void joining_takes_up_where_the_row_stands(void **state)
{
    static const struct {
        const char *row;
        const char *container;
        const char *status;
        const char *becomes;
    } cases[] = {
        {PAUSING("freeze"), "running", "paused", "paused"},
        {PAUSING("freeze"), "paused", "paused", "paused"},
        {PAUSING("disk"), "running", "paused", "exited"},
        {RESUMING("freeze"), "paused", "running", "running"},
        {RESUMING("freeze"), "running", "running", "running"},
        {PAUSED("freeze"), "running", "paused", "paused"},
        {PAUSED("disk"), "running", "paused", "exited"},
    };
    struct life_stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wait wait;
        print_message("%s, container %s\n", cases[i].row, cases[i].container);
        set_container(stage, cases[i].container);
        life_stage_change(stage, cases[i].row);
        join(stage, &wait);
        expect_over(stage, &wait, "");
        STATUS_IS(stage, cases[i].status);
        assert_string_equal(stage->engine.status, cases[i].becomes);
    }
}

static void joining_one_that_runs_does_nothing(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    join(stage, &wait);
    expect_over(stage, &wait, "");
    assert_int_equal(stage->engine.acts, 0);
    life_stage_change(stage, "status = 'destroyed', end_reason = 'user', ended_at = now()");
    join(stage, &wait);
    expect_over(stage, &wait, "sandbox_ended");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, life_stage_set, life_stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frozen_and_back),
        TEST(from_disk_it_waits_for_the_agent),
        TEST(from_disk_it_waits_for_its_turn),
        TEST(of_many_that_wait_each_hears_once),
        TEST(one_who_left_hears_nothing),
        TEST(refused_pause_leaves_it_running),
        TEST(refused_resume_leaves_it_at_rest),
        TEST(failed_resume_is_told_when_it_rests_again),
        TEST(volume_that_would_lie_elsewhere_keeps_it_at_rest),
        TEST(what_was_done_counts_whatever_the_answer),
        TEST(word_that_does_not_last_is_not_believed),
        TEST(one_that_was_paused_already_is_paused),
        TEST(container_that_is_gone_ends_the_sandbox),
        TEST(row_that_ended_meanwhile_is_left_alone),
        TEST(agent_of_one_that_ends_is_not_waited_for),
        TEST(joining_takes_up_where_the_row_stands),
        TEST(joining_one_that_runs_does_nothing),
    };
    return cmocka_run_group_tests(tests, life_stage_open, life_stage_close);
}
