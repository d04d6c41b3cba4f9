#include "sandbox-service/agent/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const int64_t second = 1000000; /* in microseconds */

static void the_first_reading_has_nothing_to_compare_with(void **state)
{
    (void)state;
    struct load load = {0};
    assert_int_equal(load_take(&load, 5 * second, 100), -1);
}

static void half_a_processor_is_500(void **state)
{
    (void)state;
    struct load load = {0};
    (void)load_take(&load, 5 * second, 0);
    assert_int_equal(load_take(&load, 7 * second, second), 500);
}

static void readings_in_quick_succession_are_compared_with_an_earlier_one(void **state)
{
    (void)state;
    struct load load = {0};
    (void)load_take(&load, 5 * second, 0);
    (void)load_take(&load, 10 * second, 5 * second);
    assert_int_equal(load_take(&load, 10 * second + 1, 5 * second + 1), 1000);
}

static void what_is_long_ago_does_not_count(void **state)
{
    (void)state;
    struct load load = {0};
    (void)load_take(&load, second, 0);
    assert_int_equal(load_take(&load, 60 * second, second), -1);
    assert_int_equal(load_take(&load, 61 * second, second), 0);
}

static void what_is_not_known_changes_nothing(void **state)
{
    (void)state;
    struct load load = {0};
    (void)load_take(&load, second, 0);
    assert_int_equal(load_take(&load, 2 * second, -1), -1);
    assert_int_equal(load_take(&load, 3 * second, second), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_reading_has_nothing_to_compare_with),
        cmocka_unit_test(half_a_processor_is_500),
        cmocka_unit_test(readings_in_quick_succession_are_compared_with_an_earlier_one),
        cmocka_unit_test(what_is_long_ago_does_not_count),
        cmocka_unit_test(what_is_not_known_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
