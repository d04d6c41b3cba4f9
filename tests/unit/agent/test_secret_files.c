/* sandbox-service/agent/secret_files.c */
#include "sandbox-service/agent/secret_files.h"

#include "tests/unit/agent/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <sys/mount.h>

enum { MODE_BITS = 07777 };

static const struct json_pair two[] = {{VIEW("a.pem"), VIEW("first\n")}, {VIEW("b"), VIEW("")}};
static const struct json_pair one[] = {{VIEW("a.pem"), VIEW("other")}};

static bool write_files(struct scratch *scratch, const struct json_pair *items, size_t count)
{
    struct err err = {0};
    const struct json_pairs files = {items, count};
    return secret_files_write(scratch->folder, &files, scratch_nobody.uid, scratch_nobody.gid,
                              &err);
}

static void files_are_for_their_user_alone(void **state)
{
    struct scratch *scratch = *state;
    assert_true(write_files(scratch, two, 2));
    scratch_expect(scratch, "a.pem", "first\n");
    scratch_expect(scratch, "b", "");
    struct stat status = scratch_stat(scratch, "a.pem");
    assert_int_equal(status.st_mode & MODE_BITS, 0400);
    assert_int_equal(status.st_uid, scratch_nobody.uid);
    assert_int_equal(status.st_gid, scratch_nobody.gid);
    assert_int_equal(scratch_count(scratch, ""), 2);
}

static void new_values_take_the_place_of_the_old(void **state)
{
    struct scratch *scratch = *state;
    assert_true(write_files(scratch, two, 2));
    assert_true(write_files(scratch, one, 1));
    scratch_expect(scratch, "a.pem", "other");
    assert_false(scratch_exists(scratch, "b"));
    assert_int_equal(scratch_count(scratch, ""), 1);
}

static void leftover_of_a_write_that_was_cut_short_goes(void **state)
{
    struct scratch *scratch = *state;
    scratch_file(scratch, "~new", "half", 0400, &scratch_nobody);
    assert_true(write_files(scratch, one, 1));
    scratch_expect(scratch, "a.pem", "other");
    assert_int_equal(scratch_count(scratch, ""), 1);
}

static void without_secrets_the_images_folder_is_left_alone(void **state)
{
    struct scratch *scratch = *state;
    scratch_file(scratch, "own", "x", 0644, &scratch_root);
    assert_true(write_files(scratch, NULL, 0));
    scratch_expect(scratch, "own", "x");
}

static void the_last_secret_goes_too(void **state)
{
    struct scratch *scratch = *state;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", scratch->folder, "tmpfs", 0, NULL) != 0) {
        skip(); /* it may not mount */
    }
    assert_true(write_files(scratch, two, 2));
    assert_true(write_files(scratch, NULL, 0));
    size_t left = scratch_count(scratch, "");
    assert_int_equal(umount(scratch->folder), 0);
    assert_int_equal(left, 0);
}

static void links_lead_nowhere(void **state)
{
    struct scratch *scratch = *state;
    scratch_file(scratch, "target", "kept", 0600, &scratch_root);
    assert_int_equal(symlink("target", scratch_at(scratch, "a.pem")), 0);
    assert_int_equal(symlink("target", scratch_at(scratch, "~new")), 0);
    const struct json_pair files[] = {one[0], {VIEW("target"), VIEW("kept")}};
    assert_true(write_files(scratch, files, 2));
    scratch_expect(scratch, "a.pem", "other");
    scratch_expect(scratch, "target", "kept");
}

static void folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    struct err err = {0};
    const struct json_pairs files = {one, 1};
    const struct json_pairs none = {0};
    assert_false(secret_files_write("/nonexistent", &files, 0, 0, &err));
    assert_true(secret_files_write("/nonexistent", &none, 0, 0, &err));
}

static int open_scratch(void **state)
{
    static struct scratch scratch;
    scratch_open(&scratch);
    *state = &scratch;
    return 0;
}

static int close_scratch(void **state)
{
    scratch_close(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scratch, close_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_for_their_user_alone),
        TEST(new_values_take_the_place_of_the_old),
        TEST(leftover_of_a_write_that_was_cut_short_goes),
        TEST(without_secrets_the_images_folder_is_left_alone),
        TEST(the_last_secret_goes_too),
        TEST(links_lead_nowhere),
        TEST(folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
