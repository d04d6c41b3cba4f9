/* With the rights of nobody, who is not the one that runs the tests: takes root. */
#include "sandbox-service/agent/files.h"
#include "sandbox-service/agent/path.h"
#include "tests/support/folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { CEILING = 1000 };

static const struct user nobody = {.uid = USER_NOBODY, .gid = USER_NOBODY, .name = "nobody"};
static const struct user root = {.name = "root"};

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    char path[PATH_SIZE]; /* of the latest at() */
};

static const char *at(struct fixture *fixture, const char *name)
{
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/%s", fixture->folder, name);
    return fixture->path;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    folder_make(fixture.folder);
    *state = &fixture;
    return chown(fixture.folder, nobody.uid, nobody.gid);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    folder_remove(fixture->folder);
    return 0;
}

static void write_ok(struct fixture *fixture, const char *name, const char *content)
{
    struct err err;
    if (!files_write(at(fixture, name), &nobody, view_of(content), &err)) {
        fail_msg("%s: %s", name, err.message);
    }
}

static void expect_content(struct fixture *fixture, const char *name, const char *content)
{
    AUTO(str_free) struct str out = STR_INIT(CEILING);
    struct err err;
    assert_true(files_read(at(fixture, name), &root, &out, &err));
    assert_int_equal(out.len, strlen(content));
    assert_memory_equal(out.data, content, out.len);
}

static struct stat status_of(struct fixture *fixture, const char *name)
{
    struct stat status;
    assert_int_equal(lstat(at(fixture, name), &status), 0);
    return status;
}

/* As root, whatever the test says it is afterwards. */
static void plant(struct fixture *fixture, const char *name, const char *content, mode_t mode,
                  const struct user *owner)
{
    FILE *file = fopen(at(fixture, name), "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(fixture->path, mode), 0);
    assert_int_equal(chown(fixture->path, owner->uid, owner->gid), 0);
}

static void a_new_file_is_the_users(void **state)
{
    struct fixture *fixture = *state;
    write_ok(fixture, "a/b/new", "hello");
    expect_content(fixture, "a/b/new", "hello");
    struct stat file = status_of(fixture, "a/b/new");
    struct stat folder = status_of(fixture, "a/b");
    assert_int_equal(file.st_uid, nobody.uid);
    assert_int_equal(file.st_mode & 07777, 0644);
    assert_int_equal(folder.st_uid, nobody.uid);
    assert_int_equal(folder.st_mode & 07777, 0755);
    assert_int_equal(geteuid(), 0);
}

static void a_file_of_ones_own_is_replaced_and_keeps_its_mode(void **state)
{
    struct fixture *fixture = *state;
    plant(fixture, "script", "old", 0750, &nobody);
    ino_t before = status_of(fixture, "script").st_ino;
    int reader = open(at(fixture, "script"), O_RDONLY | O_CLOEXEC);
    write_ok(fixture, "script", "new and longer");
    char text[8];
    assert_int_equal(read(reader, text, sizeof text), 3);
    assert_int_equal(close(reader), 0);
    assert_true(status_of(fixture, "script").st_ino != before);
    assert_int_equal(status_of(fixture, "script").st_mode & 07777, 0750);
    expect_content(fixture, "script", "new and longer");
}

static void a_file_that_can_not_be_replaced_is_rewritten(void **state)
{
    struct fixture *fixture = *state;
    plant(fixture, "others", "root's, and long", 0666, &root);
    plant(fixture, "linked", "twice", 0644, &nobody);
    char other_name[PATH_SIZE];
    (void)snprintf(other_name, sizeof other_name, "%s/again", fixture->folder);
    assert_int_equal(link(at(fixture, "linked"), other_name), 0);
    write_ok(fixture, "others", "short");
    write_ok(fixture, "linked", "new");
    expect_content(fixture, "others", "short");
    assert_int_equal(status_of(fixture, "others").st_uid, 0);
    expect_content(fixture, "again", "new");
    assert_int_equal(mkdir(at(fixture, "closed"), 0755), 0);
    plant(fixture, "closed/file", "old", 0644, &nobody);
    write_ok(fixture, "closed/file", "new");
    expect_content(fixture, "closed/file", "new");
}

static void a_link_is_followed_and_stays(void **state)
{
    struct fixture *fixture = *state;
    plant(fixture, "target", "old", 0644, &nobody);
    assert_int_equal(symlink("target", at(fixture, "link")), 0);
    assert_int_equal(symlink("~not-there", at(fixture, "second")), 0);
    assert_int_equal(symlink("second", at(fixture, "first")), 0);
    write_ok(fixture, "link", "new");
    write_ok(fixture, "first", "made");
    assert_true(S_ISLNK(status_of(fixture, "link").st_mode));
    assert_true(S_ISLNK(status_of(fixture, "first").st_mode));
    expect_content(fixture, "target", "new");
    expect_content(fixture, "~not-there", "made");
}

static void what_can_not_be_written_is_told(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        const char *reason;
    } cases[] = {
        {"roots", "permission_denied"},     {"readonly", "permission_denied"},
        {"rootdir/x", "permission_denied"}, {"rootdir/y/z", "permission_denied"},
        {"dir", "is_a_directory"},          {"dir/", "is_a_directory"},
        {"new/", "is_a_directory"},         {"fifo", "not_a_file"},
        {"readonly/x", "not_a_directory"},  {"loop", "not_a_file"},
        {"to-root", "permission_denied"},   {"/proc/self/comm", "permission_denied"},
    };
    struct err err;
    plant(fixture, "roots", "root's", 0644, &root);
    plant(fixture, "readonly", "mine", 0444, &nobody);
    assert_int_equal(mkdir(at(fixture, "rootdir"), 0755), 0);
    assert_int_equal(mkdir(at(fixture, "dir"), 0777), 0);
    assert_int_equal(mkfifo(at(fixture, "fifo"), 0666), 0);
    assert_int_equal(chmod(at(fixture, "fifo"), 0666), 0);
    assert_int_equal(symlink("loop", at(fixture, "loop")), 0);
    assert_int_equal(symlink("rootdir/new", at(fixture, "to-root")), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = cases[i].name[0] == '/' ? cases[i].name : at(fixture, cases[i].name);
        assert_false(files_write(path, &nobody, VIEW("x"), &err));
        if (strcmp(err.reason, cases[i].reason) != 0) {
            fail_msg("%s: %s, not %s", cases[i].name, err.reason, cases[i].reason);
        }
    }
    expect_content(fixture, "roots", "root's");
    expect_content(fixture, "readonly", "mine");
}

static void what_can_not_be_read_is_told(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        const char *reason;
    } cases[] = {
        {"none", "file_not_found"},  {"secret", "permission_denied"},
        {"dir", "is_a_directory"},   {"fifo", "not_a_file"},
        {"big", "file_too_large"},   {"secret/x", "not_a_directory"},
        {"/dev/null", "not_a_file"},
    };
    static char big[CEILING + 2];
    memset(big, 'b', sizeof big - 1);
    plant(fixture, "secret", "root's", 0600, &root);
    plant(fixture, "big", big, 0644, &root);
    assert_int_equal(mkdir(at(fixture, "dir"), 0755), 0);
    assert_int_equal(mkfifo(at(fixture, "fifo"), 0666), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(str_free) struct str out = STR_INIT(CEILING);
        struct err err;
        const char *path = cases[i].name[0] == '/' ? cases[i].name : at(fixture, cases[i].name);
        assert_false(files_read(path, &nobody, &out, &err));
        assert_string_equal(err.reason, cases[i].reason);
    }
    big[CEILING] = '\0';
    plant(fixture, "just-fits", big, 0644, &root);
    expect_content(fixture, "just-fits", big);
}

/* In /proc the kernel lets a process at itself whatever its rights. */
static void the_agents_own_insides_are_closed_even_to_root(void **state)
{
    (void)state;
    static const char *const paths[] = {"/proc/self/environ", "/proc/thread-self/maps",
                                        "/proc/self/fd/0",    "/proc/self/task/../mem",
                                        "/proc/self/exe",     "/proc/self/root/etc/hostname"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        AUTO(str_free) struct str out = STR_INIT(CEILING);
        struct err err;
        assert_false(files_read(paths[i], &root, &out, &err));
        assert_false(files_write(paths[i], &root, VIEW("x"), &err));
    }
    AUTO(str_free) struct str out = STR_INIT(CEILING);
    struct err err;
    assert_true(files_read("/proc/version", &nobody, &out, &err));
}

#define FILES_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILES_TEST(a_new_file_is_the_users),
        FILES_TEST(a_file_of_ones_own_is_replaced_and_keeps_its_mode),
        FILES_TEST(a_file_that_can_not_be_replaced_is_rewritten),
        FILES_TEST(a_link_is_followed_and_stays),
        FILES_TEST(what_can_not_be_written_is_told),
        FILES_TEST(what_can_not_be_read_is_told),
        FILES_TEST(the_agents_own_insides_are_closed_even_to_root),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    (void)umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
