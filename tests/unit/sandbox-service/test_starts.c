/* sandbox-service/sandbox/starts.c */
#include "sandbox-service/sandbox/starts.h"

#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CONCURRENCY = 2, WISHES = 6, SETTLE_MS = 20 };

static const char greedy[] = "6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60";
static const char modest[] = "0b1de5a3-5d2f-4be5-8d53-0a0a6f1de7aa";

struct world;
struct wish {
    struct start_turn turn;
    struct world *world;
    int order; /* 0: not yet */
};
struct world {
    struct loop *loop;
    struct starts *starts;
    struct wish wishes[WISHES];
    int gone;
};

static int begin(void **state)
{
    static struct world world;
    struct err err = {0};
    world = (struct world){0};
    world.loop = loop_new(&err);
    world.starts = world.loop == NULL ? NULL : starts_new(world.loop, CONCURRENCY, &err);
    *state = &world;
    return world.starts == NULL ? -1 : 0;
}

static int end(void **state)
{
    struct world *world = *state;
    starts_free(world->starts);
    loop_free(world->loop);
    return 0;
}

static void on_turn(void *arg)
{
    struct wish *wish = arg;
    wish->order = ++wish->world->gone;
}

static void enter(struct world *world, int index, const char *user_id)
{
    struct err err = {0};
    world->wishes[index].world = world;
    assert_true(starts_enter(world->starts, &world->wishes[index].turn, user_id, on_turn,
                             &world->wishes[index], &err));
}

/* So many, and no more. */
static void expect_gone(struct world *world, int count)
{
    turn_until_count(world->loop, &world->gone, count);
    turn_for(world->loop, SETTLE_MS);
    assert_int_equal(world->gone, count);
}

static void no_more_go_than_are_allowed(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < WISHES; i++) {
        enter(world, i, greedy);
    }
    assert_int_equal(world->gone, 0); /* never from inside */
    expect_gone(world, CONCURRENCY);
    starts_leave(world->starts, &world->wishes[0].turn);
    expect_gone(world, CONCURRENCY + 1);
}

static void users_take_turns(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < WISHES - 1; i++) {
        enter(world, i, greedy);
    }
    enter(world, WISHES - 1, modest);
    expect_gone(world, CONCURRENCY);
    assert_int_equal(world->wishes[WISHES - 1].order, 2);
}

static void who_leaves_the_queue_is_not_called(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 4; i++) {
        enter(world, i, greedy);
    }
    starts_leave(world->starts, &world->wishes[2].turn);
    expect_gone(world, CONCURRENCY);
    starts_leave(world->starts, &world->wishes[0].turn);
    expect_gone(world, CONCURRENCY + 1);
    assert_int_equal(world->wishes[2].order, 0);
    assert_int_equal(world->wishes[3].order, 3);
}

static void leaving_twice_changes_nothing(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 4; i++) {
        enter(world, i, greedy);
    }
    expect_gone(world, CONCURRENCY);
    starts_leave(world->starts, &world->wishes[0].turn);
    starts_leave(world->starts, &world->wishes[0].turn);
    expect_gone(world, CONCURRENCY + 1);
}

static void expected_time_grows_with_the_queue(void **state)
{
    struct world *world = *state;
    int64_t alone_ms = starts_expected_ms(world->starts);
    for (int i = 0; i < 4; i++) {
        enter(world, i, greedy);
    }
    assert_int_equal(starts_expected_ms(world->starts), 3 * alone_ms);
}

static void what_nobody_waits_for_goes_last(void **state)
{
    struct world *world = *state;
    assert_true(starts_are_quiet(world->starts));
    for (int i = 0; i < 2; i++) {
        world->wishes[i].world = world;
        starts_enter_behind(world->starts, &world->wishes[i].turn, on_turn, &world->wishes[i]);
    }
    int64_t expected_ms = starts_expected_ms(world->starts);
    enter(world, 2, greedy);
    enter(world, 3, modest);
    assert_false(starts_are_quiet(world->starts));
    assert_true(starts_expected_ms(world->starts) > expected_ms);
    expect_gone(world, CONCURRENCY);
    assert_int_equal(world->wishes[0].order, 0);
    starts_leave(world->starts, &world->wishes[1].turn); /* while it waits */
    starts_leave(world->starts, &world->wishes[2].turn);
    expect_gone(world, CONCURRENCY + 1);
    assert_int_equal(world->wishes[0].order, 3);
    assert_int_equal(world->wishes[1].order, 0);
    starts_leave(world->starts, &world->wishes[0].turn);
    starts_leave(world->starts, &world->wishes[3].turn);
    assert_true(starts_are_quiet(world->starts));
}

static void too_many_are_refused_at_once(void **state)
{
    struct world *world = *state;
    static struct start_turn turns[STARTS_WAITING_MAX + 1];
    struct err err = {0};
    bool entered = true;
    for (int i = 0; i < STARTS_WAITING_MAX; i++) {
        entered = entered &&
                  starts_enter(world->starts, &turns[i], greedy, on_turn, &world->wishes[0], &err);
    }
    assert_true(entered);
    assert_false(starts_enter(world->starts, &turns[STARTS_WAITING_MAX], modest, on_turn,
                              &world->wishes[0], &err));
    assert_string_equal(err.reason, "overloaded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_more_go_than_are_allowed, begin, end),
        cmocka_unit_test_setup_teardown(users_take_turns, begin, end),
        cmocka_unit_test_setup_teardown(who_leaves_the_queue_is_not_called, begin, end),
        cmocka_unit_test_setup_teardown(leaving_twice_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(expected_time_grows_with_the_queue, begin, end),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_goes_last, begin, end),
        cmocka_unit_test_setup_teardown(too_many_are_refused_at_once, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
