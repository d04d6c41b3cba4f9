/* sandbox-service/sandbox/disk.c: how often the engine is asked. */
#include "sandbox-service/sandbox/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_takes_the_interval_until_there_are_very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
