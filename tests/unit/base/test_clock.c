#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

static void monotonic_time_does_not_go_back(void **state)
{
    (void)state;
    int64_t before_us = clock_monotonic_us();
    int64_t ms = clock_monotonic_ms();
    assert_in_range(ms, before_us / 1000, clock_monotonic_us() / 1000);
}

static void wall_time_is_milliseconds_since_1970(void **state)
{
    (void)state;
    int64_t before_ms = (int64_t)time(NULL) * 1000;
    assert_in_range(clock_wall_ms(), before_ms - 1000, before_ms + 2000);
}

static void times_are_written_in_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {951827696789, "2000-02-29T12:34:56.789Z"},
        {4102444799999, "2099-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[CLOCK_ISO_SIZE];
        clock_format_iso(cases[i].wall_ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_does_not_go_back),
        cmocka_unit_test(wall_time_is_milliseconds_since_1970),
        cmocka_unit_test(times_are_written_in_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
