#include "sandbox-service/agent/tools/beneath.h"
#include "sandbox-service/agent/tools/member.h"
#include "tests/support/folder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static void expect_name(const char *name, const char *clean)
{
    char out[PATH_SIZE];
    struct err err = {0};
    if (!member_clean_name(view_of(name), out, &err)) {
        fail_msg("%s: %s", name, err.message);
    }
    assert_string_equal(out, clean);
}

static void expect_refused_name(struct view name)
{
    char out[PATH_SIZE];
    struct err err = {0};
    assert_false(member_clean_name(name, out, &err));
    assert_string_equal(err.reason, "archive_unsafe");
}

static void names_are_cleaned(void **state)
{
    (void)state;
    expect_name("a", "a");
    expect_name("./a//b/./c/", "a/b/c");
    expect_name("./", "");
    expect_name("..a/b..", "..a/b..");
    expect_name("a\n\xff", "a\n\xff");
}

static void names_that_leave_the_folder_are_refused(void **state)
{
    (void)state;
    expect_refused_name(VIEW(""));
    expect_refused_name(VIEW("/"));
    expect_refused_name(VIEW("/etc/passwd"));
    expect_refused_name(VIEW("//a"));
    expect_refused_name(VIEW(".."));
    expect_refused_name(VIEW("a/../../b"));
    expect_refused_name(VIEW("a/b/.."));
    expect_refused_name(VIEW("a\0b"));
}

static void names_that_are_too_long_or_too_deep_are_refused(void **state)
{
    (void)state;
    char text[PATH_SIZE + 1];
    char out[PATH_SIZE];
    struct err err = {0};
    memset(text, 'a', sizeof text);
    assert_true(member_clean_name((struct view){text, PATH_COMPONENT_MAX}, out, &err));
    expect_refused_name((struct view){text, PATH_COMPONENT_MAX + 1});
    for (size_t i = 1; i < sizeof text; i += 2) {
        text[i] = '/';
    }
    assert_true(member_clean_name((struct view){text, (size_t)MEMBER_DEPTH_MAX * 2}, out, &err));
    expect_refused_name((struct view){text, (size_t)MEMBER_DEPTH_MAX * 2 + 1});
    expect_refused_name((struct view){text, PATH_SIZE});
}

static bool target_passes(const char *name, const char *target)
{
    struct err err = {0};
    bool passes = member_check_target(name, view_of(target), &err);
    assert_true(passes || strcmp(err.reason, "archive_unsafe") == 0);
    return passes;
}

static void targets_inside_pass(void **state)
{
    (void)state;
    assert_true(target_passes("link", "a/b"));
    assert_true(target_passes("link", "."));
    assert_true(target_passes("link", "./a"));
    assert_true(target_passes("a/link", ".."));
    assert_true(target_passes("a/b/link", "../../c"));
    assert_true(target_passes("a/link", "./../..c"));
}

static void targets_outside_are_refused(void **state)
{
    (void)state;
    assert_false(target_passes("link", ""));
    assert_false(target_passes("link", "/etc"));
    assert_false(target_passes("link", ".."));
    assert_false(target_passes("a/link", "../.."));
    assert_false(target_passes("a/link", "./../../a"));
}

/* "d/e/x" is inside, "x/.." would be outside when d/e/x is a link to the top. */
static void targets_that_climb_behind_a_name_are_refused(void **state)
{
    (void)state;
    assert_false(target_passes("y", "d/e/x/.."));
    assert_false(target_passes("a/b/y", "../x/.."));
}

static void opening_beneath_follows_no_link(void **state)
{
    char folder[FOLDER_PATH_SIZE];
    int (*const openers[])(int, const char *, int) = {beneath_open, beneath_open_stepwise};
    (void)state;
    folder_make(folder);
    AUTO(close_fd) int root = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(root, "a", 0755), 0);
    assert_int_equal(mkdirat(root, "a/b", 0755), 0);
    assert_int_equal(symlinkat("a", root, "link"), 0);
    assert_int_equal(symlinkat("/", root, "a/out"), 0);
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        AUTO(close_fd) int itself = openers[i](root, "", O_RDONLY);
        AUTO(close_fd) int inner = openers[i](root, "a/b", O_PATH);
        assert_true(itself >= 0 && inner >= 0);
        assert_int_equal(openers[i](root, "link/b", O_PATH), -1);
        assert_int_equal(errno, ELOOP);
        assert_int_equal(openers[i](root, "a/out", O_RDONLY), -1);
        assert_int_equal(errno, ELOOP);
        assert_int_equal(openers[i](root, "a/../..", O_PATH), -1);
        assert_int_equal(errno, EXDEV);
        assert_int_equal(openers[i](root, "a/none/b", O_PATH), -1);
        assert_int_equal(errno, ENOENT);
    }
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_cleaned),
        cmocka_unit_test(names_that_leave_the_folder_are_refused),
        cmocka_unit_test(names_that_are_too_long_or_too_deep_are_refused),
        cmocka_unit_test(targets_inside_pass),
        cmocka_unit_test(targets_outside_are_refused),
        cmocka_unit_test(targets_that_climb_behind_a_name_are_refused),
        cmocka_unit_test(opening_beneath_follows_no_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
