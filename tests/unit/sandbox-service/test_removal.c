/* sandbox-service/sandbox/removal.c: who waits hears once, whatever becomes of the removal. */
#include "sandbox-service/sandbox/removal.h"

#include "tests/support/turn.h"
#include "tests/unit/sandbox-service/life_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOBODY "aaaaaaaa-aaaa-4aaa-8aaa-000000000009"
#define STOPPING "status = 'stopping', end_reason = 'user', ended_at = now()"

enum { WAITERS = 3 };

struct wait {
    struct removal_waiter waiter;
    bool over;
    int times;
};

static void on_over(void *arg)
{
    struct wait *wait = arg;
    wait->over = true;
    wait->times++;
}

static bool wait_for(struct life_stage *stage, const char *sandbox_id, struct wait *wait)
{
    *wait = (struct wait){.waiter = {.over = on_over, .arg = wait}};
    return sandbox_removal_wait(&stage->sandboxes, sandbox_id, &wait->waiter);
}

static void all_who_wait_hear_when_it_is_gone(void **state)
{
    struct life_stage *stage = *state;
    struct wait waits[WAITERS];
    life_stage_change(stage, STOPPING);
    sandbox_remove(&stage->sandboxes, LIFE_BOX, &trace_none);
    for (int i = 0; i < WAITERS; i++) {
        assert_true(wait_for(stage, LIFE_BOX, &waits[i]));
        assert_false(waits[i].over);
    }
    turn_until(stage->loop, &waits[WAITERS - 1].over);
    life_stage_expect(stage, "status", "destroyed");
    assert_string_equal(stage->engine.status, "");
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(waits[i].times, 1);
    }
}

static void where_nothing_is_removed_nobody_waits(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    assert_false(wait_for(stage, LIFE_BOX, &wait));
    assert_false(wait_for(stage, NOBODY, &wait));
}

static void who_waits_hears_of_a_failure_too(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    life_stage_change(stage, STOPPING);
    sandbox_remove(&stage->sandboxes, LIFE_BOX, &trace_none);
    assert_true(wait_for(stage, LIFE_BOX, &wait));
    postgres_run(stage->postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                  "pid <> pg_backend_pid() AND backend_type = 'client backend'");
    turn_until(stage->loop, &wait.over);
    assert_int_equal(wait.times, 1);
    assert_false(wait_for(stage, LIFE_BOX, &wait));
}

static void what_is_left_for_the_next_process_is_waited_for_no_more(void **state)
{
    struct life_stage *stage = *state;
    struct wait wait;
    stage->sandboxes.removals_running = REMOVALS_AT_A_TIME; /* so that it has to wait itself */
    sandbox_remove(&stage->sandboxes, LIFE_BOX, &trace_none);
    assert_true(wait_for(stage, LIFE_BOX, &wait));
    sandbox_removals_drop_waiting(&stage->sandboxes);
    assert_int_equal(wait.times, 1);
    stage->sandboxes.removals_running = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, life_stage_set, life_stage_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_who_wait_hear_when_it_is_gone),
        TEST(where_nothing_is_removed_nobody_waits),
        TEST(who_waits_hears_of_a_failure_too),
        TEST(what_is_left_for_the_next_process_is_waited_for_no_more),
    };
    return cmocka_run_group_tests(tests, life_stage_open, life_stage_close);
}
