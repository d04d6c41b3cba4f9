/* With the rights of nobody: takes root. */
#include "sandbox-service/agent/tree.h"
#include "tests/support/turn.h"
#include "tests/unit/agent/peer.h"
#include "tests/unit/agent/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 1000, DEEP = 200, BIG = 40 * 1024 * 1024 };

struct fixture {
    struct peer peer;
    struct trees *trees;
    struct scratch scratch;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    peer_open(&fixture.peer);
    scratch_open(&fixture.scratch);
    fixture.trees = trees_new(fixture.peer.chores, &err);
    assert_non_null(fixture.trees);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    chores_free(fixture->peer.chores);
    fixture->peer.chores = NULL;
    trees_free(fixture->trees);
    peer_close(&fixture->peer);
    scratch_close(&fixture->scratch);
    return 0;
}

static void expect(struct fixture *fixture, const char *type, const char *code)
{
    peer_wait_answers(&fixture->peer, 1);
    if (code != NULL) {
        peer_expect_error(&fixture->peer, code);
    } else if (!peer_heard(&fixture->peer, type)) {
        fail_msg("%s", fixture->peer.texts.data);
    }
    peer_forget_texts(&fixture->peer);
}

/* code NULL: it succeeds. */
static void remove_path(struct fixture *fixture, const char *name, bool recursive, const char *code)
{
    tree_remove(fixture->trees, &fixture->peer.reply, &scratch_nobody,
                scratch_at(&fixture->scratch, name), recursive);
    expect(fixture, "\"removeResponse\"", code);
}

static struct tree_target target_of(struct fixture *fixture, const char *from, const char *to)
{
    return (struct tree_target){.from = scratch_at(&fixture->scratch, from),
                                .to = scratch_at(&fixture->scratch, to),
                                .recursive = true};
}

static void copy(struct fixture *fixture, const char *from, const char *to, bool overwrite,
                 const char *code)
{
    struct tree_target target = target_of(fixture, from, to);
    target.overwrite = overwrite;
    tree_copy(fixture->trees, &fixture->peer.reply, &scratch_nobody, &target);
    expect(fixture, "\"copyResponse\"", code);
}

static void move(struct fixture *fixture, const char *from, const char *to, bool overwrite,
                 const char *code)
{
    struct tree_target target = target_of(fixture, from, to);
    target.overwrite = overwrite;
    tree_rename(fixture->trees, &fixture->peer.reply, &scratch_nobody, &target);
    expect(fixture, "\"renameResponse\"", code);
}

static void plant_tree(struct fixture *fixture, const char *name)
{
    char path[64];
    scratch_folder(&fixture->scratch, name, 0755, &scratch_nobody);
    (void)snprintf(path, sizeof path, "%s/sub", name);
    scratch_folder(&fixture->scratch, path, 0750, &scratch_nobody);
    (void)snprintf(path, sizeof path, "%s/file", name);
    scratch_file(&fixture->scratch, path, "content", 0640, &scratch_nobody);
    (void)snprintf(path, sizeof path, "%s/sub/program", name);
    scratch_file(&fixture->scratch, path, "run", 04755, &scratch_nobody);
    (void)snprintf(path, sizeof path, "%s/sub/link", name);
    assert_int_equal(symlink("../file", scratch_at(&fixture->scratch, path)), 0);
    (void)snprintf(path, sizeof path, "%s/fifo", name);
    assert_int_equal(mkfifo(scratch_at(&fixture->scratch, path), 0600), 0);
    assert_int_equal(chown(scratch_at(&fixture->scratch, path), USER_NOBODY, USER_NOBODY), 0);
}

static void a_file_a_link_and_an_empty_folder_are_removed(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "file", "", 0444, &scratch_nobody);
    assert_int_equal(symlink("file", scratch_at(&fixture->scratch, "link")), 0);
    scratch_folder(&fixture->scratch, "empty", 0755, &scratch_nobody);
    remove_path(fixture, "link", false, NULL);
    assert_true(scratch_exists(&fixture->scratch, "file"));
    remove_path(fixture, "file", false, NULL);
    remove_path(fixture, "empty/", false, NULL);
    assert_int_equal(scratch_count(&fixture->scratch, ""), 0);
    remove_path(fixture, "file", true, "file_not_found");
}

static void a_full_folder_goes_only_when_that_is_asked(void **state)
{
    struct fixture *fixture = *state;
    plant_tree(fixture, "tree");
    remove_path(fixture, "tree", false, "directory_not_empty");
    scratch_expect(&fixture->scratch, "tree/file", "content");
    remove_path(fixture, "tree", true, NULL);
    assert_false(scratch_exists(&fixture->scratch, "tree"));
}

static void links_are_removed_and_what_they_lead_to_stays(void **state)
{
    struct fixture *fixture = *state;
    plant_tree(fixture, "kept");
    scratch_folder(&fixture->scratch, "tree", 0755, &scratch_nobody);
    assert_int_equal(symlink("../kept", scratch_at(&fixture->scratch, "tree/link")), 0);
    remove_path(fixture, "tree", true, NULL);
    scratch_expect(&fixture->scratch, "kept/file", "content");
}

static void what_is_not_the_users_stays(void **state)
{
    struct fixture *fixture = *state;
    scratch_folder(&fixture->scratch, "tree", 0755, &scratch_nobody);
    scratch_folder(&fixture->scratch, "tree/closed", 0755, &scratch_root);
    scratch_file(&fixture->scratch, "tree/closed/file", "root's", 0644, &scratch_root);
    remove_path(fixture, "tree", true, "permission_denied");
    scratch_expect(&fixture->scratch, "tree/closed/file", "root's");
    remove_path(fixture, "tree/closed/file", false, "permission_denied");
}

static void many_files_are_removed_in_slices(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    scratch_folder(&fixture->scratch, "tree", 0755, &scratch_nobody);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "tree/%d", i);
        if (i % 10 == 0) {
            scratch_folder(&fixture->scratch, name, 0755, &scratch_nobody);
        } else {
            scratch_file(&fixture->scratch, name, "", 0644, &scratch_nobody);
        }
    }
    copy(fixture, "tree", "copy", false, NULL);
    assert_int_equal(scratch_count(&fixture->scratch, "copy"), MANY);
    tree_remove(fixture->trees, &fixture->peer.reply, &scratch_nobody,
                scratch_at(&fixture->scratch, "tree"), true);
    assert_int_equal(fixture->peer.answers, 0);
    expect(fixture, "\"removeResponse\"", NULL);
    remove_path(fixture, "copy", true, NULL);
    assert_int_equal(scratch_count(&fixture->scratch, ""), 0);
}

static void a_depth_without_end_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_SIZE] = "deep";
    scratch_folder(&fixture->scratch, path, 0755, &scratch_nobody);
    for (int i = 1; i < DEEP; i++) {
        (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/d");
        scratch_folder(&fixture->scratch, path, 0755, &scratch_nobody);
    }
    copy(fixture, "deep", "copy", false, "too_deep");
    assert_int_equal(scratch_count(&fixture->scratch, ""), 1);
    remove_path(fixture, "deep", true, "too_deep");
}

static void a_copy_is_like_what_it_was_made_of(void **state)
{
    struct fixture *fixture = *state;
    char target[32] = "";
    plant_tree(fixture, "tree");
    copy(fixture, "tree", "copy", false, NULL);
    scratch_expect(&fixture->scratch, "copy/file", "content");
    scratch_expect(&fixture->scratch, "tree/file", "content");
    assert_int_equal(scratch_stat(&fixture->scratch, "copy/file").st_mode & 07777, 0640);
    assert_int_equal(scratch_stat(&fixture->scratch, "copy/sub").st_mode & 07777, 0750);
    assert_int_equal(scratch_stat(&fixture->scratch, "copy/sub/program").st_mode & 07777, 0755);
    assert_true(S_ISFIFO(scratch_stat(&fixture->scratch, "copy/fifo").st_mode));
    assert_int_equal(scratch_stat(&fixture->scratch, "copy/sub").st_uid, scratch_nobody.uid);
    assert_true(
        readlink(scratch_at(&fixture->scratch, "copy/sub/link"), target, sizeof target - 1) > 0);
    assert_string_equal(target, "../file");
    assert_int_equal(scratch_count(&fixture->scratch, ""), 2);
}

static void a_big_file_is_copied_whole(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "big", "start", 0644, &scratch_nobody);
    assert_int_equal(truncate(scratch_at(&fixture->scratch, "big"), BIG), 0);
    copy(fixture, "big", "copy", false, NULL);
    assert_int_equal(scratch_stat(&fixture->scratch, "copy").st_size, BIG);
}

static void what_is_there_is_replaced_only_when_asked(void **state)
{
    struct fixture *fixture = *state;
    plant_tree(fixture, "tree");
    scratch_file(&fixture->scratch, "one", "one", 0644, &scratch_nobody);
    scratch_file(&fixture->scratch, "two", "two", 0644, &scratch_nobody);
    scratch_folder(&fixture->scratch, "empty", 0755, &scratch_nobody);
    copy(fixture, "one", "two", false, "file_exists");
    move(fixture, "one", "two", false, "file_exists");
    scratch_expect(&fixture->scratch, "two", "two");
    copy(fixture, "one", "two", true, NULL);
    scratch_expect(&fixture->scratch, "two", "one");
    copy(fixture, "tree", "empty", true, NULL);
    scratch_expect(&fixture->scratch, "empty/file", "content");
    copy(fixture, "tree", "empty", true, "directory_not_empty");
    copy(fixture, "tree", "two", true, "not_a_directory");
    move(fixture, "two", "tree", true, "is_a_directory");
    move(fixture, "two", "one", true, NULL);
    assert_int_equal(scratch_count(&fixture->scratch, ""), 3);
}

static void a_copy_that_fails_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    plant_tree(fixture, "tree");
    scratch_file(&fixture->scratch, "tree/sub/secret", "root's", 0600, &scratch_root);
    copy(fixture, "tree", "copy", false, "permission_denied");
    assert_int_equal(scratch_count(&fixture->scratch, ""), 1);
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "tree/sub/secret")), 0);
    copy(fixture, "tree", "tree/sub/copy", false, "invalid_path");
    move(fixture, "tree", "tree/sub/moved", false, "invalid_path");
    assert_int_equal(scratch_count(&fixture->scratch, "tree/sub"), 2);
    copy(fixture, "none", "copy", false, "file_not_found");
    copy(fixture, "tree", "none/copy", false, "file_not_found");
    const struct tree_target target = {.from = scratch_at(&fixture->scratch, "tree"),
                                       .to = scratch_at(&fixture->scratch, "copy")};
    tree_copy(fixture->trees, &fixture->peer.reply, &scratch_nobody, &target);
    expect(fixture, "", "is_a_directory");
}

static void a_folder_is_moved_at_once(void **state)
{
    struct fixture *fixture = *state;
    plant_tree(fixture, "tree");
    ino_t before = scratch_stat(&fixture->scratch, "tree").st_ino;
    struct tree_target target = target_of(fixture, "tree", "moved");
    tree_rename(fixture->trees, &fixture->peer.reply, &scratch_nobody, &target);
    assert_int_equal(fixture->peer.answers, 1);
    assert_true(scratch_stat(&fixture->scratch, "moved").st_ino == before);
    peer_forget_texts(&fixture->peer);
    move(fixture, "none", "moved", false, "file_not_found");
}

static void a_move_to_another_file_system_is_a_copy(void **state)
{
    struct fixture *fixture = *state;
    plant_tree(fixture, "tree");
    scratch_folder(&fixture->scratch, "other", 0777, &scratch_nobody);
    if (mount("none", scratch_at(&fixture->scratch, "other"), "tmpfs", 0, "mode=777") != 0) {
        skip(); /* not allowed here */
    }
    move(fixture, "tree", "other/tree", false, NULL);
    scratch_expect(&fixture->scratch, "other/tree/file", "content");
    assert_int_equal(scratch_stat(&fixture->scratch, "other/tree/sub").st_mode & 07777, 0750);
    assert_false(scratch_exists(&fixture->scratch, "tree"));
    assert_int_equal(umount(scratch_at(&fixture->scratch, "other")), 0);
}

static void the_end_may_come_in_the_middle(void **state)
{
    struct fixture *fixture = *state;
    plant_tree(fixture, "tree");
    struct tree_target target = target_of(fixture, "tree", "copy");
    tree_copy(fixture->trees, &fixture->peer.reply, &scratch_nobody, &target);
    tree_remove(fixture->trees, &fixture->peer.reply, &scratch_nobody,
                scratch_at(&fixture->scratch, "tree"), true);
}

#define TREE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(a_file_a_link_and_an_empty_folder_are_removed),
        TREE_TEST(a_full_folder_goes_only_when_that_is_asked),
        TREE_TEST(links_are_removed_and_what_they_lead_to_stays),
        TREE_TEST(what_is_not_the_users_stays),
        TREE_TEST(many_files_are_removed_in_slices),
        TREE_TEST(a_depth_without_end_is_refused),
        TREE_TEST(a_copy_is_like_what_it_was_made_of),
        TREE_TEST(a_big_file_is_copied_whole),
        TREE_TEST(what_is_there_is_replaced_only_when_asked),
        TREE_TEST(a_copy_that_fails_leaves_nothing),
        TREE_TEST(a_folder_is_moved_at_once),
        TREE_TEST(a_move_to_another_file_system_is_a_copy),
        TREE_TEST(the_end_may_come_in_the_middle),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    (void)umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
