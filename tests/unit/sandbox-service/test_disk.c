/* sandbox-service/sandbox/disk.c: how often the engine is asked, and for how long in vain. */
#include "sandbox-service/sandbox/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void a_round_takes_the_interval_until_there_are_very_many(void **state)
{
    (void)state;
    enum { INTERVAL_MS = 10000 };
    assert_int_equal(disk_watch_gap_ms(INTERVAL_MS, 0), INTERVAL_MS);
    assert_int_equal(disk_watch_gap_ms(INTERVAL_MS, 1), INTERVAL_MS);
    assert_int_equal(disk_watch_gap_ms(INTERVAL_MS, 100), 100);
    assert_int_equal(disk_watch_gap_ms(INTERVAL_MS, 200), 50);
    assert_int_equal(disk_watch_gap_ms(INTERVAL_MS, 10000), 50);
}

static void one_that_can_never_be_measured_is_over(void **state)
{
    (void)state;
    struct disk_limited limited = {0};
    for (int i = 1; i < DISK_TIMEOUTS_MAX; i++) {
        assert_false(disk_timed_out_for_good(&limited, ERR_TIMEOUT, true));
    }
    assert_false(disk_timed_out_for_good(&limited, ERR_TIMEOUT, false)); /* nobody is answered */
    assert_true(disk_timed_out_for_good(&limited, ERR_TIMEOUT, true));
}

static void another_failure_says_nothing_of_its_files(void **state)
{
    (void)state;
    struct disk_limited limited = {.timeouts = DISK_TIMEOUTS_MAX - 1};
    assert_false(disk_timed_out_for_good(&limited, ERR_UNAVAILABLE, true));
    assert_int_equal(limited.timeouts, 0);
}

static void what_is_known_of_one_is_kept_for_the_next_round(void **state)
{
    (void)state;
    const struct disk_limited before[] = {{.sandbox_id = "b", .timeouts = 1},
                                          {.sandbox_id = "c", .timeouts = 2},
                                          {.sandbox_id = "e", .timeouts = 2}};
    struct disk_limited now[] = {
        {.sandbox_id = "a"}, {.sandbox_id = "c"}, {.sandbox_id = "d"}, {.sandbox_id = "f"}};
    disk_carry_over(before, 3, now, 4);
    assert_int_equal(now[0].timeouts, 0);
    assert_int_equal(now[1].timeouts, 2);
    assert_int_equal(now[2].timeouts, 0);
    assert_int_equal(now[3].timeouts, 0);
    disk_carry_over(NULL, 0, now, 4);
    assert_int_equal(now[1].timeouts, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_can_never_be_measured_is_over),
        cmocka_unit_test(another_failure_says_nothing_of_its_files),
        cmocka_unit_test(what_is_known_of_one_is_kept_for_the_next_round),
        cmocka_unit_test(a_round_takes_the_interval_until_there_are_very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
