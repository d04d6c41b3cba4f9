/* sandbox-service/sandbox/metadata.c */
#include "sandbox-service/sandbox/metadata.h"

#include "common/base/str.h"
#include "common/contracts/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool is_kept(struct view text)
{
    struct err err = {0};
    bool ok = metadata_check(text, &err);
    if (!ok) {
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.reason, "validation_failed");
    }
    return ok;
}

static void what_people_write_is_kept(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "{\"a\": [1, -2.5, 6.02e23, 1E-9, true, false, null]}",
        "{\"a\": 1e63, \"b\": -1E+62, \"c\": 1e-61, \"d\": 1.5e-59}",
        "{\"1e99999\": \"1e99999\"}",
        "{\"a\": \"\\\"1e99999\", \"b\": \"\\u0001\\\\\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!is_kept(view_of(texts[i]))) {
            fail_msg("%s was refused", texts[i]);
        }
    }
}

static void nul_in_a_string_or_a_name_is_refused(void **state)
{
    (void)state;
    assert_false(is_kept(VIEW("{\"a\": \"x\\u0000\"}")));
    assert_false(is_kept(VIEW("{\"\\u0000\": 1}")));
    assert_false(is_kept(VIEW("{\"a\": \"\\\\\\u0000\"}")));
}

static void backslash_before_the_same_letters_is_no_nul(void **state)
{
    (void)state;
    assert_true(is_kept(VIEW("{\"a\": \"\\\\u0000\"}")));
}

static void number_that_is_long_when_written_out_is_refused(void **state)
{
    (void)state;
    static const struct view texts[] = {
        VIEW("{\"a\": 1e64}"),     VIEW("{\"a\": [-1e63]}"),
        VIEW("{\"a\": 1.0e-64}"),  VIEW("{\"a\": 1e999}"),
        VIEW("{\"a\": 1e131071}"), VIEW("{\"a\": 1E+131071}"),
        VIEW("{\"a\": 0e-16383}"), VIEW("{\"a\": 1e99999999999999999999999999999999999999}"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (is_kept(texts[i])) {
            fail_msg("%s was kept", texts[i].ptr);
        }
    }
}

static void many_numbers_count_together(void **state)
{
    (void)state;
    struct str text = STR_INIT(METADATA_BYTES_MAX);
    str_append_string(&text, "{\"a\":[0");
    for (int i = 0; i < 400; i++) {
        str_append_string(&text, ",1e50");
    }
    str_append_string(&text, "]}");
    assert_false(text.failed);
    assert_false(is_kept(str_view(&text)));
    str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_people_write_is_kept),
        cmocka_unit_test(nul_in_a_string_or_a_name_is_refused),
        cmocka_unit_test(backslash_before_the_same_letters_is_no_nul),
        cmocka_unit_test(number_that_is_long_when_written_out_is_refused),
        cmocka_unit_test(many_numbers_count_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
