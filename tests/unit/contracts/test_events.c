#include "common/contracts/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void an_event_is_number_type_and_object(void **state)
{
    (void)state;
    struct event_text event;
    struct err err = {0};
    assert_true(event_text_read(VIEW("12 sandbox.running {\"a\":\"b c\"}"), &event, &err));
    assert_int_equal(event.number, 12);
    assert_true(view_equal(event.type, VIEW("sandbox.running")));
    assert_true(view_equal(event.object, VIEW("{\"a\":\"b c\"}")));
}

static void other_texts_are_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "12",
                                        "12 sandbox.running",
                                        "12 sandbox.running x",
                                        "x sandbox.running {}",
                                        " sandbox.running {}",
                                        "-1 sandbox.running {}",
                                        "12345678901234567 sandbox.running {}",
                                        "12 running {}",
                                        "12 sandbox..x {}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct event_text event;
        struct err err = {0};
        if (event_text_read(view_of(texts[i]), &event, &err)) {
            fail_msg("%s", texts[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void types_are_words_with_dots(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool is_good;
    } cases[] = {
        {"sandbox.running", true}, {"a.b.c", true}, {"a_b.c", true},
        {"running", false},        {".a", false},   {"a.", false},
        {"a..b", false},           {"A.b", false},  {"a.b1", false},
        {"a b.c", false},          {"", false},     {"a.b\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *problem = NULL;
        if (event_type_check(view_of(cases[i].type), &problem) != cases[i].is_good) {
            fail_msg("%s", cases[i].type);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_number_type_and_object),
        cmocka_unit_test(other_texts_are_none),
        cmocka_unit_test(types_are_words_with_dots),
    };
    return cmocka_run_group_tests_name("contracts_events", tests, NULL, NULL);
}
