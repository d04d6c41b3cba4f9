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

/* A test that failed inside of a callback has left the loop as if it still turned. */
static void turn_once(struct loop *loop, int flags)
{
    if (event_base_loop(loop_base(loop), flags) < 0) {
        fail_msg("the loop does not turn any more");
    }
}

/* True when the condition came true within the time. What is ready at its end still happens,
 * however little of it the process got. */
static bool turn(struct loop *loop, bool (*condition)(void *arg), void *arg, int64_t duration_ms)
{
    struct timer poll;
    struct err err;
    assert_true(timer_open(&poll, loop, on_poll, &poll, &err));
    timer_arm(&poll, TURN_POLL_MS);
    int64_t end_ms = clock_monotonic_ms() + duration_ms;
    bool met = condition(arg);
    while (!met && clock_monotonic_ms() < end_ms) {
        turn_once(loop, EVLOOP_ONCE);
        met = condition(arg);
    }
    timer_close(&poll);
    if (!met) {
        turn_once(loop, EVLOOP_NONBLOCK);
        met = condition(arg);
    }
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

struct tally {
    const int *count;
    int wanted;
};

static bool is_reached(void *arg)
{
    const struct tally *tally = arg;
    return *tally->count >= tally->wanted;
}

void turn_until_count(struct loop *loop, const int *count, int wanted)
{
    struct tally tally = {count, wanted};
    turn_until_true(loop, is_reached, &tally);
}

void turn_for(struct loop *loop, int64_t duration_ms)
{
    (void)turn(loop, never, NULL, duration_ms);
}
