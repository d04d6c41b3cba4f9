/* Slices of work between turns of the loop. */
#include "common/base/clock.h"
#include "sandbox-service/agent/chore.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { STEPS = 5, WORKERS = 3, LONG_MS = 3 };

struct fixture;

struct worker {
    struct chore chore;
    struct fixture *fixture;
    int left;
    int done;
    int64_t takes_ms;
    bool dropped;
    struct worker *stops; /* in its first step */
};

struct fixture {
    struct loop *loop;
    struct chores *chores;
    struct worker workers[WORKERS];
    const struct worker *served[WORKERS * STEPS]; /* in this order */
    int served_count;
};

static bool step(void *arg)
{
    struct worker *worker = arg;
    int64_t end_ms = clock_monotonic_ms() + worker->takes_ms;
    while (clock_monotonic_ms() < end_ms) {
    }
    worker->fixture->served[worker->fixture->served_count++] = worker;
    if (worker->stops != NULL) {
        chore_stop(&worker->stops->chore);
    }
    worker->done++;
    return --worker->left > 0;
}

static void drop(void *arg)
{
    ((struct worker *)arg)->dropped = true;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    fixture = (struct fixture){.loop = loop_new(&err)};
    assert_non_null(fixture.loop);
    fixture.chores = chores_new(fixture.loop, &err);
    assert_non_null(fixture.chores);
    assert_ptr_equal(chores_loop(fixture.chores), fixture.loop);
    for (size_t i = 0; i < WORKERS; i++) {
        struct worker *worker = &fixture.workers[i];
        worker->fixture = &fixture;
        worker->left = STEPS;
        worker->chore = (struct chore){.step = step, .drop = drop, .arg = worker};
    }
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    chores_free(fixture->chores);
    loop_free(fixture->loop);
    return 0;
}

static void turn_once(struct fixture *fixture)
{
    (void)event_base_loop(loop_base(fixture->loop), EVLOOP_ONCE);
}

static void start_all(struct fixture *fixture)
{
    for (size_t i = 0; i < WORKERS; i++) {
        chore_start(fixture->chores, &fixture->workers[i].chore);
        chore_start(fixture->chores, &fixture->workers[i].chore);
    }
    assert_int_equal(fixture->served_count, 0);
}

/* One after the other, wherever one turn ended and the next began. */
static void expect_all_served_in_order(struct fixture *fixture)
{
    turn_until_count(fixture->loop, &fixture->served_count, WORKERS * STEPS);
    for (size_t i = 0; i < (size_t)WORKERS * STEPS; i++) {
        assert_ptr_equal(fixture->served[i], &fixture->workers[i % WORKERS]);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(fixture->workers[i].done, STEPS);
        assert_false(fixture->workers[i].dropped);
    }
}

static void each_gets_one_slice_a_turn(void **state)
{
    struct fixture *fixture = *state;
    start_all(fixture);
    turn_once(fixture);
    assert_true(fixture->served_count <= WORKERS);
    expect_all_served_in_order(fixture);
}

static void who_got_none_for_want_of_time_is_first_in_the_next_turn(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < WORKERS; i++) {
        fixture->workers[i].takes_ms = LONG_MS;
    }
    start_all(fixture);
    turn_once(fixture);
    assert_true(fixture->served_count < WORKERS);
    expect_all_served_in_order(fixture);
}

static void one_that_is_stopped_waits_to_be_started_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->workers[0].stops = &fixture->workers[1];
    fixture->workers[0].left = 1;
    chore_start(fixture->chores, &fixture->workers[0].chore);
    chore_start(fixture->chores, &fixture->workers[1].chore);
    turn_until_count(fixture->loop, &fixture->workers[0].done, 1);
    turn_for(fixture->loop, 10);
    assert_int_equal(fixture->workers[1].done, 0);
    chore_start(fixture->chores, &fixture->workers[1].chore);
    turn_until_count(fixture->loop, &fixture->workers[1].done, STEPS);
}

static void what_is_under_way_at_the_end_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    chore_start(fixture->chores, &fixture->workers[0].chore);
    chores_free(fixture->chores);
    fixture->chores = NULL;
    assert_true(fixture->workers[0].dropped);
    assert_false(fixture->workers[1].dropped);
}

#define CHORE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHORE_TEST(each_gets_one_slice_a_turn),
        CHORE_TEST(who_got_none_for_want_of_time_is_first_in_the_next_turn),
        CHORE_TEST(one_that_is_stopped_waits_to_be_started_again),
        CHORE_TEST(what_is_under_way_at_the_end_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
