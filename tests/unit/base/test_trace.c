#include "common/base/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static void a_traceparent_is_read_as_the_standard_says(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        const char *read; /* NULL: refused */
    } cases[] = {
        {"sampled", "00-" TRACE "-" SPAN "-01", "00-" TRACE "-" SPAN "-01"},
        {"not sampled", "00-" TRACE "-" SPAN "-00", "00-" TRACE "-" SPAN "-00"},
        {"unknown flags", "00-" TRACE "-" SPAN "-fe", "00-" TRACE "-" SPAN "-00"},
        {"unknown flags, sampled", "00-" TRACE "-" SPAN "-ff", "00-" TRACE "-" SPAN "-01"},
        {"later version", "01-" TRACE "-" SPAN "-03", "00-" TRACE "-" SPAN "-01"},
        {"later version with more", "cc-" TRACE "-" SPAN "-01-x y", "00-" TRACE "-" SPAN "-01"},
        {"later version with an end", "cc-" TRACE "-" SPAN "-01-", "00-" TRACE "-" SPAN "-01"},
        {"later version run on", "cc-" TRACE "-" SPAN "-01x", NULL},
        {"forbidden version", "ff-" TRACE "-" SPAN "-01", NULL},
        {"version 00 with more", "00-" TRACE "-" SPAN "-01-x", NULL},
        {"version 00 with an end", "00-" TRACE "-" SPAN "-01-", NULL},
        {"no trace", "00-00000000000000000000000000000000-" SPAN "-01", NULL},
        {"no span", "00-" TRACE "-0000000000000000-01", NULL},
        {"capitals", "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", NULL},
        {"capital flags", "00-" TRACE "-" SPAN "-0A", NULL},
        {"no hex", "00-" TRACE "-" SPAN "-0g", NULL},
        {"no hex version", "0g-" TRACE "-" SPAN "-01", NULL},
        {"other separators", "00_" TRACE "_" SPAN "_01", NULL},
        {"too short", "00-" TRACE "-" SPAN "-0", NULL},
        {"a blank in front", " 00-" TRACE "-" SPAN "-01", NULL},
        {"empty", "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char read[TRACE_PARENT_SIZE] = "";
        bool ok = trace_read_parent(view_of(cases[i].text), read);
        if (ok != (cases[i].read != NULL) ||
            strcmp(read, cases[i].read == NULL ? "" : cases[i].read) != 0) {
            fail_msg("%s: %s", cases[i].name, read);
        }
    }
}

static void what_is_made_is_read(void **state)
{
    (void)state;
    struct err err = {0};
    char made[TRACE_PARENT_SIZE];
    char another[TRACE_PARENT_SIZE];
    char read[TRACE_PARENT_SIZE];
    assert_true(trace_make_parent(made, &err));
    assert_true(trace_make_parent(another, &err));
    assert_string_not_equal(made, another);
    assert_true(trace_read_parent(view_of(made), read));
    assert_string_equal(made, read);
}

static void a_trace_has_an_id_if_it_is_known(void **state)
{
    (void)state;
    const struct trace trace = {"r-1", "00-" TRACE "-" SPAN "-01"};
    assert_true(view_equal(trace_id(&trace), VIEW(TRACE)));
    assert_int_equal(trace_id(&trace_none).len, 0);
}

static void request_ids_are_short_and_plain(void **state)
{
    (void)state;
    assert_true(trace_is_request_id(VIEW("abc-DEF_1.2")));
    assert_true(trace_is_request_id(
        VIEW("1234567890123456789012345678901234567890123456789012345678901234")));
    assert_false(trace_is_request_id(
        VIEW("12345678901234567890123456789012345678901234567890123456789012345")));
    assert_false(trace_is_request_id(VIEW("a b")));
    assert_false(trace_is_request_id(VIEW("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_is_read_as_the_standard_says),
        cmocka_unit_test(what_is_made_is_read),
        cmocka_unit_test(a_trace_has_an_id_if_it_is_known),
        cmocka_unit_test(request_ids_are_short_and_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
