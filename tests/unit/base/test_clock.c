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

static void times_of_rfc_3339_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t wall_ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T01:00:00.001+01:00", 1},
        {"2000-02-29T12:34:56.789Z", 951827696789},
        {"2000-02-29T12:34:56.7891234567Z", 951827696789},
        {"2000-02-29T02:04:56.7-10:30", 951827696700},
        {"9999-12-31T23:59:59Z", 253402300799000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t wall_ms = -1;
        assert_true(clock_parse_iso(view_of(cases[i].text), &wall_ms));
        assert_int_equal(wall_ms, cases[i].wall_ms);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "2026",
        "2026-01-31",
        "2026-01-31T23:59:59",
        "2026-01-31 23:59:59Z",
        "2026-01-31T23:59:59z",
        "2026-01-31T23:59:59.Z",
        "2026-01-31T23:59:59Zx",
        "2026-01-31T23:59:60Z",
        "2026-01-31T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-1-31T23:59:59Z",
        "+026-01-31T23:59:59Z",
        "2026-01-31T23:59:59+1:00",
        "2026-01-31T23:59:59+0100",
        "2026-01-31T23:59:59+24:00",
        "2026-01-31T23:59:59+00:60",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t ignored;
        if (clock_parse_iso(view_of(texts[i]), &ignored)) {
            fail_msg("%s", texts[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_does_not_go_back),
        cmocka_unit_test(wall_time_is_milliseconds_since_1970),
        cmocka_unit_test(times_are_written_in_rfc_3339),
        cmocka_unit_test(times_of_rfc_3339_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
