#include "sandbox-service/agent/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void paths_become_absolute(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *absolute;
    } cases[] = {
        {"/etc/passwd", "/etc/passwd"},
        {"a/b", "/app/a/b"},
        {".", "/app"},
        {"./a/./.b//c/.", "/app/a/.b/c"},
        {"//.", "/"},
        {"../x", "/app/../x"},
        {"~", "/home/u"},
        {"~/x", "/home/u/x"},
        {"~x", "/app/~x"},
        {"a/~", "/app/a/~"},
        {"/", "/"},
        {"dir/", "/app/dir/"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[PATH_SIZE];
        struct err err;
        assert_true(path_resolve(view_of(cases[i].path), "/app", "/home/u", out, &err));
        assert_string_equal(out, cases[i].absolute);
    }
}

static void paths_no_kernel_takes_are_refused(void **state)
{
    (void)state;
    char out[PATH_SIZE];
    struct err err;
    static char long_name[PATH_COMPONENT_MAX + 1];
    static char long_path[PATH_SIZE];
    memset(long_name, 'n', sizeof long_name);
    for (size_t i = 0; i < sizeof long_path; i++) {
        long_path[i] = i % 2 == 0 ? '/' : 'x';
    }
    const struct view cases[] = {
        {0}, VIEW("a\0b"), {long_name, sizeof long_name}, {long_path, sizeof long_path}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(path_resolve(cases[i], "/app", "/", out, &err));
        assert_string_equal(err.reason, "invalid_path");
    }
    const struct view just_fits = {long_name, PATH_COMPONENT_MAX};
    assert_true(path_resolve(just_fits, "/app", "/", out, &err));
    const struct view just_fits_too = {long_path, sizeof long_path - 1};
    assert_true(path_resolve(just_fits_too, "/app", "/", out, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_become_absolute),
        cmocka_unit_test(paths_no_kernel_takes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
