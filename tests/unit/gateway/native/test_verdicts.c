#include "gateway/native/verdicts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void outputs_are_compared_as_asked(void **state)
{
    (void)state;
    static const struct {
        enum comparator comparator;
        const char *output;
        const char *expected;
        bool is_right;
    } cases[] = {
        {COMPARE_LINES, "1 2\n3\n", "1 2\n3", true},
        {COMPARE_LINES, "1 2  \r\n3\n\n\n", "1 2\n3\n", true},
        {COMPARE_LINES, "1  2\n", "1 2\n", false},
        {COMPARE_LINES, "1\n\n2", "1\n2", false},
        {COMPARE_LINES, "", "\n", true},
        {COMPARE_LINES, "1", "1\n2", false},
        {COMPARE_LINES, " 1", "1", false},
        {COMPARE_EXACT, "1\n", "1\n", true},
        {COMPARE_EXACT, "1\n", "1", false},
        {COMPARE_WORDS, " 1\n2\t3", "1 2 3\n", true},
        {COMPARE_WORDS, "1 2", "1 2 3", false},
        {COMPARE_WORDS, "1.0", "1", false},
        {COMPARE_WORDS, "", " ", true},
        {COMPARE_NUMBERS, "1.0000001 yes", "1 yes", true},
        {COMPARE_NUMBERS, "1000000.5", "1000000", true},
        {COMPARE_NUMBERS, "1.001", "1", false},
        {COMPARE_NUMBERS, "no", "yes", false},
        {COMPARE_NUMBERS, "1x", "1", false},
        {COMPARE_NUMBERS, "inf", "1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (output_is_expected(cases[i].comparator, view_of(cases[i].output),
                               view_of(cases[i].expected)) != cases[i].is_right) {
            fail_msg("case %zu: \"%s\", \"%s\"", i, cases[i].output, cases[i].expected);
        }
    }
}

static void comparators_have_names_in_their_order(void **state)
{
    (void)state;
    assert_string_equal(comparator_names[COMPARE_LINES], "lines");
    assert_string_equal(comparator_names[COMPARE_EXACT], "exact");
    assert_string_equal(comparator_names[COMPARE_WORDS], "words");
    assert_string_equal(comparator_names[COMPARE_NUMBERS], "numbers");
    assert_null(comparator_names[COMPARE_NUMBERS + 1]);
}

static void ends_have_verdicts(void **state)
{
    (void)state;
    const struct run_end well = {VIEW("exited"), true, 0, true, 10};
    const struct run_end wrong = {VIEW("exited"), true, 1, true, 10};
    const struct run_end killed = {VIEW("signaled"), false, 0, true, 10};
    const struct run_end late = {VIEW("timeout"), false, 0, true, 10};
    const struct run_end busy = {VIEW("exited"), true, 0, true, 1001};
    const struct run_end large = {VIEW("oom"), false, 0, true, 10};
    assert_null(verdict_of_end(&well, 1000));
    assert_string_equal(verdict_of_end(&wrong, 1000), "runtime_error");
    assert_string_equal(verdict_of_end(&killed, 1000), "runtime_error");
    assert_string_equal(verdict_of_end(&late, 1000), "time_limit");
    assert_string_equal(verdict_of_end(&busy, 1000), "time_limit");
    assert_string_equal(verdict_of_end(&large, 1000), "memory_limit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_compared_as_asked),
        cmocka_unit_test(comparators_have_names_in_their_order),
        cmocka_unit_test(ends_have_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
