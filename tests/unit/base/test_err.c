#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void setting_returns_false_and_names_the_code(void **state)
{
    (void)state;
    struct err err = {0};
    assert_false(err_set(&err, ERR_NOT_FOUND, "no %s %d", "row", 7));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.reason, "not_found");
    assert_string_equal(err.message, "no row 7");
}

static void a_reason_may_be_given(void **state)
{
    (void)state;
    struct err err = {0};
    assert_false(err_set_reason(&err, ERR_CONFLICT, "sandbox_ended", "it ended"));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_string_equal(err.reason, "sandbox_ended");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct err err = {0};
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_false(err_set_reason(&err, ERR_INVALID, text, "%s", text));
    assert_int_equal(strlen(err.message), ERR_MESSAGE_SIZE - 1);
    assert_int_equal(strlen(err.reason), ERR_REASON_SIZE - 1);
    assert_false(err_wrap(&err, "doing"));
    assert_int_equal(strlen(err.message), ERR_MESSAGE_SIZE - 1);
    assert_memory_equal(err.message, "doing: xxx", 10);
    assert_false(err_wrap(&err, "%s", text));
    assert_int_equal(strlen(err.message), ERR_MESSAGE_SIZE - 1);
}

static void wrapping_keeps_code_and_reason(void **state)
{
    (void)state;
    struct err err = {0};
    assert_false(err_set_reason(&err, ERR_TIMEOUT, "too_slow", "no answer"));
    assert_false(err_wrap(&err, "starting %s", "it"));
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_string_equal(err.reason, "too_slow");
    assert_string_equal(err.message, "starting it: no answer");
}

static void codes_have_names_and_statuses(void **state)
{
    (void)state;
    static const struct {
        enum err_code code;
        const char *name;
        int status;
        bool is_public;
    } codes[] = {
        {ERR_INVALID, "invalid", 400, true},
        {ERR_UNAUTHENTICATED, "unauthenticated", 401, true},
        {ERR_DENIED, "denied", 403, true},
        {ERR_NOT_FOUND, "not_found", 404, true},
        {ERR_CONFLICT, "conflict", 409, true},
        {ERR_LIMIT, "limit", 429, true},
        {ERR_UNAVAILABLE, "unavailable", 503, false},
        {ERR_TIMEOUT, "timeout", 504, false},
        {ERR_INTERNAL, "internal", 500, false},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_string_equal(err_code_name(codes[i].code), codes[i].name);
        assert_int_equal(err_code_from_name(codes[i].name), codes[i].code);
        assert_int_equal(err_http_status(codes[i].code), codes[i].status);
        assert_int_equal(err_message_is_public(codes[i].code), codes[i].is_public);
    }
    assert_int_equal(err_code_from_name("none"), ERR_INTERNAL);
    assert_int_equal(err_code_from_name(""), ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_returns_false_and_names_the_code),
        cmocka_unit_test(a_reason_may_be_given),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(wrapping_keeps_code_and_reason),
        cmocka_unit_test(codes_have_names_and_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
