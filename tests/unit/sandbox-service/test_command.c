/* sandbox-service/network/command.c */
#include "sandbox-service/network/command.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { OUTPUT_MAX = 1024, PATIENCE_MS = 10000 };

static void output_and_status_come_back(void **state)
{
    (void)state;
    static const char *const argv[] = {"/bin/sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    struct str output = STR_INIT(OUTPUT_MAX);
    struct err err = {0};
    int status = 0;
    assert_true(command_run(argv, (struct view){0}, PATIENCE_MS, &output, &status, &err));
    assert_int_equal(status, 3);
    assert_string_equal(output.data, "out\nerr\n");
    str_free(&output);
}

static void input_larger_than_a_pipe_is_given_whole(void **state)
{
    (void)state;
    enum { INPUT_SIZE = 1024 * 1024 };
    static char input[INPUT_SIZE];
    static const char *const argv[] = {"/usr/bin/wc", "-c", NULL};
    struct str output = STR_INIT(OUTPUT_MAX);
    struct err err = {0};
    int status = -1;
    assert_true(
        command_run(argv, (struct view){input, sizeof input}, PATIENCE_MS, &output, &status, &err));
    assert_int_equal(status, 0);
    assert_string_equal(output.data, "1048576\n");
    str_free(&output);
}

static void output_beyond_the_ceiling_does_not_block_the_program(void **state)
{
    (void)state;
    static const char *const argv[] = {"/bin/sh", "-c", "head -c 1000000 /dev/zero", NULL};
    struct str output = STR_INIT(OUTPUT_MAX);
    struct err err = {0};
    int status = -1;
    assert_true(command_run(argv, (struct view){0}, PATIENCE_MS, &output, &status, &err));
    assert_int_equal(status, 0);
    str_free(&output);
}

static void program_that_takes_too_long_is_killed(void **state)
{
    (void)state;
    static const char *const argv[] = {"/bin/sleep", "60", NULL};
    struct str output = STR_INIT(OUTPUT_MAX);
    struct err err = {0};
    int status = 0;
    int64_t began_ms = clock_monotonic_ms();
    assert_false(command_run(argv, (struct view){0}, 100, &output, &status, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_true(clock_monotonic_ms() - began_ms < PATIENCE_MS);
    str_free(&output);
}

static void program_that_closes_its_output_and_goes_on_is_killed_too(void **state)
{
    (void)state;
    static const char *const argv[] = {"/bin/sh", "-c", "exec sleep 60 >&- 2>&-", NULL};
    struct str output = STR_INIT(OUTPUT_MAX);
    struct err err = {0};
    int status = 0;
    int64_t began_ms = clock_monotonic_ms();
    assert_false(command_run(argv, (struct view){0}, 300, &output, &status, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_int_equal(status, -1);
    assert_true(clock_monotonic_ms() - began_ms < PATIENCE_MS);
    str_free(&output);
}

static void program_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    static const char *const argv[] = {"/nowhere/at/all", NULL};
    struct str output = STR_INIT(OUTPUT_MAX);
    struct err err = {0};
    int status;
    assert_false(command_run(argv, (struct view){0}, PATIENCE_MS, &output, &status, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    str_free(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_status_come_back),
        cmocka_unit_test(input_larger_than_a_pipe_is_given_whole),
        cmocka_unit_test(output_beyond_the_ceiling_does_not_block_the_program),
        cmocka_unit_test(program_that_takes_too_long_is_killed),
        cmocka_unit_test(program_that_closes_its_output_and_goes_on_is_killed_too),
        cmocka_unit_test(program_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
