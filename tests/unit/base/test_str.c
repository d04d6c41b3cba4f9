#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void pieces_are_joined(void **state)
{
    (void)state;
    struct str str = STR_INIT(1000);
    struct err err;
    str_append(&str, NULL, 0);
    str_append_string(&str, "one ");
    str_append_view(&str, VIEW("t\0wo "));
    str_append_char(&str, '3');
    str_appendf(&str, " %d %s", 4, "five");
    assert_true(str_check(&str, "test", &err));
    assert_int_equal(str.len, 17);
    assert_memory_equal(str.data, "one t\0wo 3 4 five", 18);
    assert_int_equal(str_view(&str).len, 17);
    str_free(&str);
}

static void a_string_grows(void **state)
{
    (void)state;
    enum { PIECES = 10000, LENGTH = PIECES * 10 };
    struct str str = STR_INIT(LENGTH);
    for (int i = 0; i < PIECES; i++) {
        str_appendf(&str, "%09d,", i);
    }
    assert_false(str.failed);
    assert_int_equal(str.len, LENGTH);
    assert_memory_equal(str.data + str.len - 10, "000009999,", 11);
    str_free(&str);
}

static void the_ceiling_is_reached_and_not_passed(void **state)
{
    (void)state;
    struct str str = STR_INIT(10);
    struct err err = {0};
    str_append_string(&str, "0123456789");
    assert_true(str_check(&str, "test", &err));
    str_append_char(&str, 'x');
    assert_false(str_check(&str, "writing", &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_string_equal(err.message, "writing: out of memory or over 10 bytes");
    str_free(&str);
}

static void failure_is_remembered(void **state)
{
    (void)state;
    struct str str = STR_INIT(10);
    str_append_string(&str, "0123456789x");
    str_append_string(&str, "fits");
    assert_true(str.failed);
    assert_int_equal(str.len, 0);
    str_clear(&str);
    str_append_string(&str, "fits");
    assert_false(str.failed);
    assert_string_equal(str.data, "fits");
    str_free(&str);
}

static void a_huge_length_does_not_wrap(void **state)
{
    (void)state;
    struct str str = STR_INIT(100);
    str_append_string(&str, "some");
    assert_null(str_reserve(&str, SIZE_MAX));
    assert_true(str.failed);
    str_free(&str);
}

static void reserved_room_is_filled_by_the_caller(void **state)
{
    (void)state;
    struct str str = STR_INIT(100);
    char *room = str_reserve(&str, 5);
    assert_non_null(room);
    memset(room, 'a', 3);
    str_advance(&str, 3);
    assert_string_equal(str.data, "aaa");
    str_free(&str);
    assert_null(str.data);
    str_append_string(&str, "again");
    assert_string_equal(str.data, "again");
    str_free(&str);
}

static void secret_leaves_nothing_in_what_is_kept(void **state)
{
    (void)state;
    struct str str = STR_SECRET(1000);
    for (int i = 0; i < 50; i++) {
        str_append_string(&str, "0123456789"); /* it moves */
    }
    assert_int_equal(str.len, 500);
    assert_memory_equal(str.data + 490, "0123456789", 11);
    size_t len = str.len;
    str_clear(&str);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(str.data[i], 0);
    }
    str_append_string(&str, "again");
    assert_string_equal(str.data, "again");
    str_free(&str);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_joined),
        cmocka_unit_test(a_string_grows),
        cmocka_unit_test(the_ceiling_is_reached_and_not_passed),
        cmocka_unit_test(failure_is_remembered),
        cmocka_unit_test(a_huge_length_does_not_wrap),
        cmocka_unit_test(reserved_room_is_filled_by_the_caller),
        cmocka_unit_test(secret_leaves_nothing_in_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
