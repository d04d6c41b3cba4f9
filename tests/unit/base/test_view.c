#include "common/base/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void views_compare_by_bytes(void **state)
{
    (void)state;
    assert_true(view_equal(VIEW("a\0b"), VIEW("a\0b")));
    assert_false(view_equal(VIEW("a\0b"), VIEW("a\0c")));
    assert_false(view_equal(VIEW("ab"), VIEW("abc")));
    assert_true(view_equal(VIEW(""), (struct view){NULL, 0}));
    assert_true(view_equal_nocase(VIEW("Content-Type"), VIEW("content-tYPE")));
    assert_false(view_equal_nocase(VIEW("ab"), VIEW("abc")));
}

static void prefixes_and_rests(void **state)
{
    (void)state;
    assert_true(view_starts_with(VIEW("isk_abc"), VIEW("isk_")));
    assert_true(view_starts_with(VIEW("isk_"), VIEW("")));
    assert_false(view_starts_with(VIEW("isk"), VIEW("isk_")));
    assert_true(view_equal(view_from(VIEW("isk_abc"), 4), VIEW("abc")));
    assert_int_equal(view_from(VIEW("abc"), 3).len, 0);
}

static void copies_fit_and_hold_no_nul(void **state)
{
    (void)state;
    char buffer[4];
    assert_true(view_copy(VIEW("abc"), buffer, sizeof buffer));
    assert_string_equal(buffer, "abc");
    assert_true(view_copy((struct view){NULL, 0}, buffer, sizeof buffer));
    assert_string_equal(buffer, "");
    assert_false(view_copy(VIEW("abcd"), buffer, sizeof buffer));
    assert_false(view_copy(VIEW("a\0"), buffer, sizeof buffer));
}

static void cutting_goes_on_to_the_end(void **state)
{
    (void)state;
    struct view text = VIEW("a,,b");
    assert_true(view_equal(view_cut(&text, ','), VIEW("a")));
    assert_true(view_equal(view_cut(&text, ','), VIEW("")));
    assert_true(view_equal(view_cut(&text, ','), VIEW("b")));
    assert_int_equal(text.len, 0);
    assert_int_equal(view_cut(&text, ',').len, 0);
    text = VIEW("a,");
    assert_true(view_equal(view_cut(&text, ','), VIEW("a")));
    assert_int_equal(text.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare_by_bytes),
        cmocka_unit_test(prefixes_and_rests),
        cmocka_unit_test(cutting_goes_on_to_the_end),
        cmocka_unit_test(copies_fit_and_hold_no_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
