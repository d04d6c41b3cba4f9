#include "gateway/native/conditions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_range_is_resolved_against_the_size(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int64_t size;
        enum range_outcome outcome;
        int64_t first;
        int64_t length;
    } cases[] = {
        {"", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-3", 10, RANGE_PART, 0, 4},
        {"Bytes=2-2", 10, RANGE_PART, 2, 1},
        {"bytes=4-", 10, RANGE_PART, 4, 6},
        {"bytes=4-99", 10, RANGE_PART, 4, 6},
        {"bytes=-3", 10, RANGE_PART, 7, 3},
        {"bytes=-30", 10, RANGE_PART, 0, 10},
        {"bytes= 1-2", 10, RANGE_PART, 1, 2},
        {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=3-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, RANGE_WHOLE, 0, 0},
        {"bytes=5", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,4-5", 10, RANGE_WHOLE, 0, 0},
        {"bytes=+1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=--2", 10, RANGE_WHOLE, 0, 0},
        {"lines=0-1", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-99999999999999999999", 10, RANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct byte_range range = {0};
        enum range_outcome outcome = range_resolve(view_of(cases[i].header), cases[i].size, &range);
        if (outcome != cases[i].outcome || range.first != cases[i].first ||
            range.length != cases[i].length) {
            fail_msg("%s of %d", cases[i].header, (int)cases[i].size);
        }
    }
}

static void a_tag_is_found_in_a_list(void **state)
{
    (void)state;
    const struct view tag = VIEW("\"a-b\"");
    assert_true(etag_list_has(VIEW("\"a-b\""), tag));
    assert_true(etag_list_has(VIEW("\"x\", W/\"a-b\""), tag));
    assert_true(etag_list_has(VIEW("*"), tag));
    assert_false(etag_list_has(VIEW("\"a\", a-b"), tag));
    assert_false(etag_list_has(VIEW(""), tag));
}

static void a_date_is_written_as_http_has_it(void **state)
{
    (void)state;
    char out[HTTP_DATE_SIZE];
    assert_true(http_date_of_iso(VIEW("1994-11-06T08:49:37.123Z"), out));
    assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_true(http_date_of_iso(VIEW("2026-01-31T23:59:59Z"), out));
    assert_string_equal(out, "Sat, 31 Jan 2026 23:59:59 GMT");
}

static void what_is_no_date_is_refused(void **state)
{
    (void)state;
    char out[HTTP_DATE_SIZE];
    assert_false(http_date_of_iso(VIEW(""), out));
    assert_false(http_date_of_iso(VIEW("1994-11-06"), out));
    assert_false(http_date_of_iso(VIEW("1994-13-06T08:49:37.123Z"), out));
    assert_false(http_date_of_iso(VIEW("1994-11-06T08:4x:37.123Z"), out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_resolved_against_the_size),
        cmocka_unit_test(a_tag_is_found_in_a_list),
        cmocka_unit_test(a_date_is_written_as_http_has_it),
        cmocka_unit_test(what_is_no_date_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
