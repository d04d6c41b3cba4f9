#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/event/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <unistd.h>

static struct loop *loop;

static int open_loop(void **state)
{
    (void)state;
    struct err err;
    log_set_level(LOG_WARN);
    loop = loop_new(&err);
    return loop == NULL ? 1 : 0;
}

static int close_loop(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void stop_loop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void a_timer_fires_after_its_delay(void **state)
{
    (void)state;
    enum { DELAY_MS = 60 };
    struct timer timer;
    struct err err;
    assert_true(timer_open(&timer, loop, stop_loop, NULL, &err));
    assert_false(timer_is_armed(&timer));
    int64_t began_ms = clock_monotonic_ms();
    timer_arm(&timer, DELAY_MS);
    assert_true(timer_is_armed(&timer));
    loop_run(loop);
    assert_true(clock_monotonic_ms() - began_ms >= DELAY_MS - 10);
    assert_false(timer_is_armed(&timer));
    timer_close(&timer);
}

enum { LATE_MS = 50 };

struct late {
    struct timer first;
    struct timer second;
    int64_t armed_ms;
};

/* Arms the second when its turn of the loop has been under way for long. */
static void arm_late(void *arg)
{
    struct late *late = arg;
    int64_t until_ms = clock_monotonic_ms() + LATE_MS;
    while (clock_monotonic_ms() < until_ms) {
    }
    late->armed_ms = clock_monotonic_ms();
    timer_arm(&late->second, LATE_MS);
}

static void a_delay_begins_when_the_timer_is_armed_not_with_the_turn(void **state)
{
    (void)state;
    struct late late;
    struct err err;
    assert_true(timer_open(&late.first, loop, arm_late, &late, &err));
    assert_true(timer_open(&late.second, loop, stop_loop, NULL, &err));
    timer_arm(&late.first, 0);
    loop_run(loop);
    assert_true(clock_monotonic_ms() - late.armed_ms >= LATE_MS - 10);
    timer_close(&late.first);
    timer_close(&late.second);
}

static void count(void *arg)
{
    int *calls = arg;
    ++*calls;
}

static void arming_again_restarts_and_disarming_stops(void **state)
{
    (void)state;
    struct timer restarted;
    struct timer stopped;
    struct timer end;
    struct err err;
    int restarts = 0;
    int stops = 0;
    assert_true(timer_open(&restarted, loop, count, &restarts, &err));
    assert_true(timer_open(&stopped, loop, count, &stops, &err));
    assert_true(timer_open(&end, loop, stop_loop, NULL, &err));
    timer_arm(&restarted, 1);
    timer_arm(&restarted, 30);
    timer_arm_common(&stopped, 10);
    timer_disarm(&stopped);
    timer_arm(&end, 80);
    loop_run(loop);
    assert_int_equal(restarts, 1);
    assert_int_equal(stops, 0);
    timer_close(&restarted);
    timer_close(&stopped);
    timer_close(&end);
}

static void common_delays_and_others_may_alternate(void **state)
{
    (void)state;
    struct timer timers[8];
    struct timer end;
    struct err err;
    int calls = 0;
    for (int i = 0; i < 8; i++) {
        assert_true(timer_open(&timers[i], loop, count, &calls, &err));
        timer_arm(&timers[i], 5000);
        timer_arm_common(&timers[i], 10);
    }
    timer_arm(&timers[0], 20);
    assert_true(timer_open(&end, loop, stop_loop, NULL, &err));
    while (calls < 8) {
        assert_int_equal(event_base_loop(loop_base(loop), EVLOOP_ONCE), 0);
    }
    timer_arm(&end, 50);
    loop_run(loop);
    assert_int_equal(calls, 8);
    for (int i = 0; i < 8; i++) {
        timer_close(&timers[i]);
    }
    timer_close(&end);
}

static void closing_a_timer_that_was_not_opened_is_fine(void **state)
{
    (void)state;
    struct timer timer = {0};
    assert_false(timer_is_armed(&timer));
    timer_close(&timer);
}

struct mortal {
    struct loop_corpse corpse;
    bool in_callback;
    bool dead;
    struct timer timer;
};

static void bury(void *object)
{
    struct mortal *mortal = object;
    assert_false(mortal->in_callback);
    assert_false(mortal->dead);
    mortal->dead = true;
}

static void die(void *arg)
{
    struct mortal *mortal = arg;
    mortal->in_callback = true;
    loop_free_later(loop, &mortal->corpse, bury, mortal);
    assert_false(mortal->dead);
    mortal->in_callback = false;
}

static void a_corpse_is_freed_when_its_callback_has_returned(void **state)
{
    (void)state;
    struct mortal mortal = {0};
    struct err err;
    assert_true(timer_open(&mortal.timer, loop, die, &mortal, &err));
    timer_arm(&mortal.timer, 0);
    while (!mortal.dead) {
        assert_int_equal(event_base_loop(loop_base(loop), EVLOOP_ONCE), 0);
    }
    timer_close(&mortal.timer);
}

static struct event *busy;
static int busy_turns;
static void stay_busy(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    const struct mortal *mortal = arg;
    if (mortal->dead || ++busy_turns > 1000) {
        loop_stop(loop);
        return;
    }
    event_active(busy, EV_TIMEOUT, 0);
}

static void corpses_are_freed_under_a_steady_load(void **state)
{
    (void)state;
    struct mortal mortal = {0};
    busy_turns = 0;
    busy = event_new(loop_base(loop), -1, 0, stay_busy, &mortal);
    assert_non_null(busy);
    event_active(busy, EV_TIMEOUT, 0);
    loop_free_later(loop, &mortal.corpse, bury, &mortal);
    loop_run(loop);
    assert_in_range(busy_turns, 0, 10);
    event_free(busy);
}

static void freeing_the_loop_frees_corpses(void **state)
{
    (void)state;
    struct mortal mortals[3] = {0};
    for (int i = 0; i < 3; i++) {
        loop_free_later(loop, &mortals[i].corpse, bury, &mortals[i]);
    }
    loop_free(loop);
    loop = NULL;
    for (int i = 0; i < 3; i++) {
        assert_true(mortals[i].dead);
    }
}

static void on_stop(void *arg)
{
    count(arg);
    assert_int_equal(kill(getpid(), SIGINT), 0);
}

static void the_first_signal_drains_and_the_second_ends(void **state)
{
    (void)state;
    struct err err;
    int stops = 0;
    assert_true(loop_on_stop_signal(loop, on_stop, &stops, &err));
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    loop_run(loop);
    assert_int_equal(stops, 1);
}

/* What on_reload answers, and how often it was asked. */
struct reloader {
    bool works;
    int reloads;
};

static bool on_reload(void *arg)
{
    struct reloader *reloader = arg;
    reloader->reloads++;
    return reloader->works;
}

static void hang_up_and_run(void)
{
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    (void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

static void each_hang_up_reloads_and_nothing_ends(void **state)
{
    (void)state;
    struct err err;
    struct reloader reloader = {.works = true};
    assert_true(loop_on_reload_signal(loop, on_reload, &reloader, &err));
    hang_up_and_run();
    assert_int_equal(reloader.reloads, 1);
    reloader.works = false;
    hang_up_and_run();
    assert_int_equal(reloader.reloads, 2);
}

static void a_hang_up_is_survived_by_who_has_nothing_to_reload(void **state)
{
    (void)state;
    struct err err;
    assert_true(loop_on_reload_signal(loop, NULL, NULL, &err));
    hang_up_and_run();
}

static void writing_to_a_closed_pipe_does_not_kill(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    (void)close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    (void)close(fds[1]);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_timer_fires_after_its_delay),
        CASE(a_delay_begins_when_the_timer_is_armed_not_with_the_turn),
        CASE(arming_again_restarts_and_disarming_stops),
        CASE(common_delays_and_others_may_alternate),
        CASE(closing_a_timer_that_was_not_opened_is_fine),
        CASE(a_corpse_is_freed_when_its_callback_has_returned),
        CASE(corpses_are_freed_under_a_steady_load),
        CASE(freeing_the_loop_frees_corpses),
        CASE(the_first_signal_drains_and_the_second_ends),
        CASE(each_hang_up_reloads_and_nothing_ends),
        CASE(a_hang_up_is_survived_by_who_has_nothing_to_reload),
        CASE(writing_to_a_closed_pipe_does_not_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
