/* common/db/position.c: the cursors of lists. */
#include "common/db/position.h"

#include "common/base/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct position position = {.created_us = 1767225600123456,
                                         .id = "6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60"};

static bool reads_text(const char *text)
{
    char cursor[POSITION_CURSOR_SIZE * 2];
    struct position out;
    struct err err = {0};
    (void)encode_base64(ENCODE_BASE64_URL, text, strlen(text), cursor);
    bool ok = position_read_cursor(view_of(cursor), &out, &err);
    if (!ok) {
        assert_string_equal(err.reason, "invalid_cursor");
        assert_int_equal(err.code, ERR_INVALID);
    }
    return ok;
}

static void cursor_reads_back_as_it_was_written(void **state)
{
    (void)state;
    char cursor[POSITION_CURSOR_SIZE];
    struct position out;
    struct err err = {0};
    position_write_cursor(&position, cursor);
    assert_true(position_read_cursor(view_of(cursor), &out, &err));
    assert_int_equal(out.created_us, position.created_us);
    assert_string_equal(out.id, position.id);
}

static void a_cursor_becomes_parameters_and_none_becomes_none(void **state)
{
    (void)state;
    char cursor[POSITION_CURSOR_SIZE];
    struct position_parameters out;
    struct err err = {0};
    position_write_cursor(&position, cursor);
    assert_true(position_parameters_read(view_of(cursor), &out, &err));
    assert_string_equal(out.created_us, "1767225600123456");
    assert_string_equal(out.id, position.id);
    assert_true(position_parameters_read(VIEW(""), &out, &err));
    assert_string_equal(out.created_us, "");
    assert_string_equal(out.id, "");
    assert_false(position_parameters_read(VIEW("AAAA"), &out, &err));
    assert_string_equal(err.reason, "invalid_cursor");
}

static void cursors_of_others_making_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ".",
        "1767225600123456",
        "1767225600123456.",
        ".6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60",
        "-1.6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60",
        "99999999999999999.6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60",
        "1767225600123456.6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a6",
        "1767225600123456.6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a600",
        "1767225600123456' OR 1=1.6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (reads_text(wrong[i])) {
            fail_msg("\"%s\" was read", wrong[i]);
        }
    }
}

static void cursor_that_is_no_base64_or_too_long_is_refused(void **state)
{
    (void)state;
    char long_text[POSITION_CURSOR_SIZE * 2];
    struct position out;
    struct err err = {0};
    assert_false(position_read_cursor(VIEW("not base64!"), &out, &err));
    memset(long_text, 'A', sizeof long_text);
    assert_false(position_read_cursor((struct view){long_text, sizeof long_text}, &out, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursor_reads_back_as_it_was_written),
        cmocka_unit_test(a_cursor_becomes_parameters_and_none_becomes_none),
        cmocka_unit_test(cursors_of_others_making_are_refused),
        cmocka_unit_test(cursor_that_is_no_base64_or_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
