#include "sandbox-service/agent/tools/pack.h"
#include "sandbox-service/agent/tools/tar_header.h"
#include "sandbox-service/agent/tools/unpack.h"
#include "sandbox-service/agent/tools/walk.h"
#include "tests/support/folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATH_MAX_HERE = 1024,
    LONG_NAME = 220,
    LARGE = 300 * 1000,
    NOBODY = 65534,
};

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    int from; /* folder/from, which is packed */
    char from_path[PATH_MAX_HERE];
    char *archive;
    size_t len;
    struct err err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    folder_make(fixture.folder);
    (void)snprintf(fixture.from_path, sizeof fixture.from_path, "%s/from", fixture.folder);
    *state = &fixture;
    if (chmod(fixture.folder, 0755) != 0 || mkdir(fixture.from_path, 0755) != 0) {
        return -1;
    }
    fixture.from = open(fixture.from_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fixture.from < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_fd(&fixture->from);
    folder_remove(fixture->folder);
    free(fixture->archive);
    return 0;
}

static void put(struct fixture *fixture, const char *name, const void *bytes, size_t len)
{
    AUTO(close_fd)
    int fd = openat(fixture->from, name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
}

static bool pack_it(struct fixture *fixture, bool gzip)
{
    free(fixture->archive);
    fixture->archive = NULL;
    FILE *file = open_memstream(&fixture->archive, &fixture->len);
    assert_non_null(file);
    bool packed = pack(fixture->from_path, gzip, file, &fixture->err);
    assert_int_equal(fclose(file), 0);
    return packed;
}

static void fill(struct fixture *fixture)
{
    static char bytes[LARGE];
    char name[LONG_NAME + 1] = {0};
    memset(name, 'n', LONG_NAME);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * i >> 3);
    }
    put(fixture, "large", bytes, sizeof bytes);
    put(fixture, "empty", "", 0);
    put(fixture, "\xff not UTF-8", "x", 1);
    put(fixture, name, "long", 4);
    assert_int_equal(mkdirat(fixture->from, "folder", 0750), 0);
    put(fixture, "folder/inner", "inner", 5);
    assert_int_equal(symlinkat(name, fixture->from, "link"), 0);
    assert_int_equal(symlinkat("../folder", fixture->from, "folder/link"), 0);
    assert_int_equal(mkfifoat(fixture->from, "fifo", 0644), 0);
}

/* What tells whether a member came through. */
static void expect_same(int from, int to, const char *name)
{
    struct stat before;
    struct stat after;
    char first[PATH_MAX_HERE] = {0};
    char second[PATH_MAX_HERE] = {0};
    assert_int_equal(fstatat(from, name, &before, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(fstatat(to, name, &after, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(before.st_mode, after.st_mode);
    if (S_ISLNK(before.st_mode)) {
        assert_true(readlinkat(from, name, first, sizeof first - 1) > 0);
        assert_true(readlinkat(to, name, second, sizeof second - 1) > 0);
        assert_string_equal(first, second);
        return;
    }
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_size, after.st_size);
    if (S_ISREG(before.st_mode)) {
        static char content[2][LARGE];
        AUTO(close_fd) int old = openat(from, name, O_RDONLY | O_CLOEXEC);
        AUTO(close_fd) int new = openat(to, name, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(old, content[0], LARGE), before.st_size);
        assert_int_equal(read(new, content[1], LARGE), before.st_size);
        assert_memory_equal(content[0], content[1], (size_t)before.st_size);
    }
}

static void check_round_trip(struct fixture *fixture, bool gzip)
{
    char target[PATH_MAX_HERE];
    struct stat status;
    struct unpack_result result;
    struct unpack_options options = {.format = INPUT_AUTO, .bytes_max = UNPACK_BYTES_MAX};
    AUTO(close_fd) int archive = memfd_create("archive", MFD_CLOEXEC);
    assert_true(pack_it(fixture, gzip));
    assert_int_equal(write(archive, fixture->archive, fixture->len), fixture->len);
    assert_int_equal(lseek(archive, 0, SEEK_SET), 0);
    (void)snprintf(target, sizeof target, "%s/to%d", fixture->folder, gzip);
    assert_true(unpack(archive, target, &options, &result, &fixture->err));
    assert_int_equal(result.entries, 8);
    AUTO(close_fd) int to = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[LONG_NAME + 1] = {0};
    memset(name, 'n', LONG_NAME);
    const char *const names[] = {"large",        "empty", "\xff not UTF-8", "folder",
                                 "folder/inner", "link",  "folder/link",    name};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_same(fixture->from, to, names[i]);
    }
    assert_int_not_equal(fstatat(to, "fifo", &status, AT_SYMLINK_NOFOLLOW), 0);
}

static void what_is_packed_is_unpacked_the_same(void **state)
{
    fill(*state);
    check_round_trip(*state, false);
    check_round_trip(*state, true);
}

static void the_same_folder_gives_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    assert_true(pack_it(fixture, true));
    AUTO(free_string) char *first = TAKE(fixture->archive);
    size_t len = fixture->len;
    assert_true(pack_it(fixture, true));
    assert_int_equal(fixture->len, len);
    assert_memory_equal(fixture->archive, first, len);
}

static void an_empty_folder_is_an_empty_archive(void **state)
{
    static const char zeros[TAR_END_SIZE];
    struct fixture *fixture = *state;
    assert_true(pack_it(fixture, false));
    assert_int_equal(fixture->len, TAR_END_SIZE);
    assert_memory_equal(fixture->archive, zeros, TAR_END_SIZE);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    struct fixture *fixture = *state;
    (void)strncat(fixture->from_path, "/none", sizeof fixture->from_path - 1);
    assert_false(pack_it(fixture, false));
    assert_string_equal(fixture->err.reason, "file_not_found");
}

/* As nobody: takes root. */
static void an_archive_that_would_lack_something_fails(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "secret", "x", 1);
    assert_int_equal(fchmodat(fixture->from, "secret", 0600, 0), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    bool packed = pack_it(fixture, false);
    assert_int_equal(seteuid(0), 0);
    assert_false(packed);
    assert_string_equal(fixture->err.reason, "permission_denied");
}

static void folders_in_each_other_too_deep_are_told(void **state)
{
    struct fixture *fixture = *state;
    AUTO(close_fd) int at = dup(fixture->from);
    for (int i = 0; i <= WALK_DEPTH_MAX; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close_fd(&at);
        at = next;
    }
    assert_false(pack_it(fixture, false));
    assert_string_equal(fixture->err.reason, "folder_too_large");
}

static void a_disk_that_is_full_is_told(void **state)
{
    struct fixture *fixture = *state;
    FILE *full = fopen("/dev/full", "we");
    assert_non_null(full);
    assert_false(pack(fixture->from_path, false, full, &fixture->err));
    assert_string_equal(fixture->err.reason, "no_space");
    (void)fclose(full);
}

static void numbers_that_octal_digits_cannot_hold_are_written_in_bytes(void **state)
{
    enum { SIZE_AT = 124, UID_AT = 108 };
    AUTO(str_free) struct str out = STR_INIT(TAR_BLOCK_SIZE);
    struct stat status = {
        .st_mode = S_IFREG | 0644, .st_size = 0x0102030405060708, .st_uid = 0x7fffffff};
    (void)state;
    tar_header_append(&out, "x", NULL, &status);
    assert_false(out.failed);
    assert_memory_equal(out.data + SIZE_AT, "\x80\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08", 12);
    assert_memory_equal(out.data + UID_AT, "\x80\0\0\0\x7f\xff\xff\xff", 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_packed_is_unpacked_the_same),
        TEST(the_same_folder_gives_the_same_bytes),
        TEST(an_empty_folder_is_an_empty_archive),
        TEST(a_folder_that_is_not_there_is_told),
        TEST(an_archive_that_would_lack_something_fails),
        TEST(folders_in_each_other_too_deep_are_told),
        TEST(a_disk_that_is_full_is_told),
        cmocka_unit_test(numbers_that_octal_digits_cannot_hold_are_written_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
