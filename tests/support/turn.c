#include "tests/support/turn.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TURN_POLL_MS = 5 };

static void on_poll(void *arg)
{
    timer_arm(arg, TURN_POLL_MS);
}

/* True when the condition came true within the time. */
static bool turn(struct loop *loop, bool (*condition)(void *arg), void *arg, int64_t duration_ms)
{
    struct timer poll;
    struct err err;
    assert_true(timer_open(&poll, loop, on_poll, &poll, &err));
    timer_arm(&poll, TURN_POLL_MS);
    int64_t end_ms = clock_monotonic_ms() + duration_ms;
    bool met = condition(arg);
    while (!met && clock_monotonic_ms() < end_ms) {
        (void)event_base_loop(loop_base(loop), EVLOOP_ONCE);
        met = condition(arg);
    }
    timer_close(&poll);
    return met;
}

static bool is_set(void *arg)
{
    const bool *const *flag = arg;
    return **flag;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void turn_until(struct loop *loop, const bool *flag)
{
    turn_until_true(loop, is_set, &flag);
}

void turn_until_true(struct loop *loop, bool (*condition)(void *arg), void *arg)
{
    if (!turn(loop, condition, arg, TURN_PATIENCE_MS)) {
        fail_msg("it did not happen within %d ms", TURN_PATIENCE_MS);
    }
}

void turn_for(struct loop *loop, int64_t duration_ms)
{
    (void)turn(loop, never, NULL, duration_ms);
}
