/* sandbox-service/pool/pace.c */
#include "sandbox-service/pool/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NOW_MS = 100000 };

/* A whole look has just begun, and found so many to spare. */
static struct pace looked(int64_t spare)
{
    struct pace pace = {0};
    assert_int_equal(pace_wait_ms(&pace, NOW_MS), 0);
    assert_true(pace_begin(&pace, NOW_MS));
    pace.spare = spare;
    return pace;
}

static void it_looks_regularly(void **state)
{
    (void)state;
    struct pace pace = looked(1);
    assert_int_equal(pace_wait_ms(&pace, NOW_MS + 1), PACE_LOOK_MS - 1);
    assert_int_equal(pace_wait_ms(&pace, NOW_MS + 2 * PACE_LOOK_MS), 0);
    assert_true(pace_begin(&pace, NOW_MS + PACE_LOOK_MS));
}

static void one_more_that_waits_hurries_a_look_that_is_not_whole(void **state)
{
    (void)state;
    struct pace pace = looked(1);
    pace.hurried = true;
    assert_int_equal(pace_wait_ms(&pace, NOW_MS + 1), PACE_HURRY_MS);
    assert_false(pace_begin(&pace, NOW_MS + PACE_HURRY_MS));
    assert_false(pace.hurried);
    assert_int_equal(pace_wait_ms(&pace, NOW_MS + PACE_HURRY_MS), PACE_LOOK_MS - PACE_HURRY_MS);
}

static void claims_put_it_off_while_half_waits(void **state)
{
    (void)state;
    struct pace pace = looked(2);
    pace_claimed(&pace, NOW_MS);
    assert_int_equal(pace_wait_ms(&pace, NOW_MS), PACE_CALM_MS);
    pace_claimed(&pace, NOW_MS + PACE_CALM_MS - 1);
    assert_int_equal(pace_wait_ms(&pace, NOW_MS + PACE_CALM_MS - 1), PACE_CALM_MS);
    pace_claimed(&pace, NOW_MS + PACE_CALM_MS);
    assert_int_equal(pace_wait_ms(&pace, NOW_MS + PACE_CALM_MS), PACE_CALM_LOW_MS);
}

/* At the regular look what is missing is started also among claims, unless half waits. */
static void the_regular_look_comes_in_any_case(void **state)
{
    (void)state;
    struct pace pace = looked(1);
    int64_t next_ms = NOW_MS + PACE_LOOK_MS;
    assert_false(pace_gives_way(&pace, NOW_MS));
    pace_claimed(&pace, next_ms - 1);
    assert_int_equal(pace_wait_ms(&pace, next_ms - 1), 1);
    assert_true(pace_begin(&pace, next_ms));
    assert_true(pace_gives_way(&pace, next_ms));
    assert_false(pace_gives_way(&pace, next_ms - 1 + PACE_CALM_MS));
    pace_claimed(&pace, next_ms);
    assert_false(pace_gives_way(&pace, next_ms));
}

static void what_failed_is_looked_at_as_a_whole_soon(void **state)
{
    (void)state;
    struct pace pace = looked(1);
    pace_claimed(&pace, NOW_MS);
    assert_false(pace_begin(&pace, NOW_MS + PACE_CALM_MS));
    pace_fail(&pace, NOW_MS + PACE_CALM_MS);
    assert_int_equal(pace_wait_ms(&pace, NOW_MS + PACE_CALM_MS), PACE_NOT_READY_MS);
    assert_true(pace_begin(&pace, NOW_MS + PACE_CALM_MS + PACE_NOT_READY_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_looks_regularly),
        cmocka_unit_test(one_more_that_waits_hurries_a_look_that_is_not_whole),
        cmocka_unit_test(claims_put_it_off_while_half_waits),
        cmocka_unit_test(the_regular_look_comes_in_any_case),
        cmocka_unit_test(what_failed_is_looked_at_as_a_whole_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
