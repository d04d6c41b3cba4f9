/* Archives are built member by member, hostile ones too. */
#include "sandbox-service/agent/tools/made.h"
#include "sandbox-service/agent/tools/output.h"
#include "sandbox-service/agent/tools/tar_header.h"
#include "sandbox-service/agent/tools/unpack.h"
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
    ARCHIVE_MAX = 64 * 1024 * 1024,
    PATH_MAX_HERE = 512,
    KIND_AT = 156,
    CHECKSUM_AT = 148,
    CHECKSUM_SIZE = 8,
    BYTES_MAX = 8 * 1024 * 1024,
};

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    char target[PATH_MAX_HERE]; /* folder/in: what is extracted into */
    struct str archive;
    struct unpack_result result;
    struct err err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.archive = STR_INIT(ARCHIVE_MAX)};
    folder_make(fixture.folder);
    (void)snprintf(fixture.target, sizeof fixture.target, "%s/in", fixture.folder);
    *state = &fixture;
    return mkdir(fixture.target, 0755);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    folder_remove(fixture->folder);
    str_free(&fixture->archive);
    return 0;
}

static const char *at(struct fixture *fixture, const char *name)
{
    static char path[PATH_MAX_HERE * 2];
    (void)snprintf(path, sizeof path, "%s/%s", fixture->target, name);
    return path;
}

static void add(struct fixture *fixture, const char *name, mode_t mode, const char *target,
                struct view content)
{
    static const char zeros[TAR_BLOCK_SIZE];
    struct stat status = {.st_mode = mode, .st_size = (off_t)content.len};
    status.st_mtim.tv_sec = 1000;
    tar_header_append(&fixture->archive, name, target, &status);
    str_append_view(&fixture->archive, content);
    str_append(&fixture->archive, zeros, tar_padding(content.len));
}

static void add_file(struct fixture *fixture, const char *name, const char *content)
{
    add(fixture, name, S_IFREG | 0640, NULL, view_of(content));
}

static void add_link(struct fixture *fixture, const char *name, const char *target)
{
    add(fixture, name, S_IFLNK | 0777, target, (struct view){0});
}

/* Makes the latest member, which has no content, another kind of thing. */
static void turn_into(struct fixture *fixture, char kind)
{
    char *header = fixture->archive.data + fixture->archive.len - TAR_BLOCK_SIZE;
    unsigned sum = 0;
    header[KIND_AT] = kind;
    memset(header + CHECKSUM_AT, ' ', CHECKSUM_SIZE);
    for (int i = 0; i < TAR_BLOCK_SIZE; i++) {
        sum += (unsigned char)header[i];
    }
    (void)snprintf(header + CHECKSUM_AT, CHECKSUM_SIZE, "%06o", sum);
}

static void add_hard_link(struct fixture *fixture, const char *name, const char *target)
{
    add_link(fixture, name, target);
    turn_into(fixture, '1');
}

static void end(struct fixture *fixture)
{
    static const char zeros[TAR_END_SIZE];
    str_append(&fixture->archive, zeros, sizeof zeros);
}

static bool unpack_bytes(struct fixture *fixture, struct view bytes, enum input_format format)
{
    AUTO(close_fd) int fd = memfd_create("archive", MFD_CLOEXEC);
    struct unpack_options options = {.format = format, .bytes_max = BYTES_MAX};
    assert_false(fixture->archive.failed);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    fixture->err = (struct err){0};
    return unpack(fd, fixture->target, &options, &fixture->result, &fixture->err);
}

static void expect_unpacked(struct fixture *fixture)
{
    end(fixture);
    if (!unpack_bytes(fixture, str_view(&fixture->archive), INPUT_AUTO)) {
        fail_msg("%s: %s", fixture->err.reason, fixture->err.message);
    }
}

static bool is_empty(const char *path)
{
    return rmdir(path) == 0 && mkdir(path, 0755) == 0;
}

/* And nothing is left of what came before. */
static void expect_refused(struct fixture *fixture, const char *reason)
{
    assert_false(unpack_bytes(fixture, str_view(&fixture->archive), INPUT_AUTO));
    assert_string_equal(fixture->err.reason, reason);
    assert_true(is_empty(fixture->target));
    str_clear(&fixture->archive);
}

static void expect_unsafe(struct fixture *fixture)
{
    end(fixture);
    expect_refused(fixture, "archive_unsafe");
}

static void expect_content(struct fixture *fixture, const char *name, const char *content)
{
    char found[64];
    AUTO(close_fd) int fd = open(at(fixture, name), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t len = read(fd, found, sizeof found - 1);
    assert_true(len >= 0);
    found[len] = '\0';
    assert_string_equal(found, content);
}

static void an_archive_is_unpacked(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    char target[64] = {0};
    add(fixture, "./", S_IFDIR | 0755, NULL, (struct view){0});
    add(fixture, "closed/", S_IFDIR | 0500, NULL, (struct view){0});
    add_file(fixture, "closed/inner", "text");
    add_file(fixture, "./not/named/\xc3\xbc", "deep");
    add_link(fixture, "closed/link", "../not/named");
    add_hard_link(fixture, "again", "closed/inner");
    expect_unpacked(fixture);
    assert_int_equal(fixture->result.entries, 5);
    assert_int_equal(fixture->result.bytes, 8);
    expect_content(fixture, "closed/inner", "text");
    expect_content(fixture, "again", "text");
    expect_content(fixture, "not/named/\xc3\xbc", "deep");
    assert_int_equal(readlink(at(fixture, "closed/link"), target, sizeof target - 1), 12);
    assert_string_equal(target, "../not/named");
    assert_int_equal(stat(at(fixture, "closed"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0500);
    assert_int_equal(status.st_mtim.tv_sec, 1000);
    assert_int_equal(stat(at(fixture, "closed/inner"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(status.st_mtim.tv_sec, 1000);
    assert_int_equal(status.st_nlink, 2);
}

static void names_that_leave_the_folder_are_refused(void **state)
{
    struct fixture *fixture = *state;
    add_file(fixture, "fine/first", "x");
    add_file(fixture, "/tmp/absolute", "x");
    expect_unsafe(fixture);
    add_file(fixture, "fine/../../up", "x");
    expect_unsafe(fixture);
    add_file(fixture, "fine/first", "x");
    add(fixture, "..", S_IFDIR | 0777, NULL, (struct view){0});
    expect_unsafe(fixture);
}

static void links_that_lead_outside_are_refused(void **state)
{
    struct fixture *fixture = *state;
    add_link(fixture, "out", "/etc");
    expect_unsafe(fixture);
    add_link(fixture, "a/out", "../../x");
    expect_unsafe(fixture);
    add_link(fixture, "d/e/top", "../..");
    add_link(fixture, "out", "d/e/top/..");
    expect_unsafe(fixture);
}

static void nothing_is_put_behind_a_link(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "real/", S_IFDIR | 0755, NULL, (struct view){0});
    add_link(fixture, "link", "real");
    add_file(fixture, "link/x", "x");
    expect_unsafe(fixture);
    add(fixture, "real/", S_IFDIR | 0755, NULL, (struct view){0});
    add_link(fixture, "link", "real");
    add(fixture, "link/", S_IFDIR | 0755, NULL, (struct view){0});
    expect_unsafe(fixture);
}

static void nothing_is_put_behind_a_link_that_was_there(void **state)
{
    struct fixture *fixture = *state;
    char outside[PATH_MAX_HERE];
    struct stat status;
    (void)snprintf(outside, sizeof outside, "%s/outside", fixture->folder);
    assert_int_equal(mkdir(outside, 0755), 0);
    assert_int_equal(symlink(outside, at(fixture, "link")), 0);
    add_file(fixture, "link/x", "x");
    end(fixture);
    assert_false(unpack_bytes(fixture, str_view(&fixture->archive), INPUT_TAR));
    assert_string_equal(fixture->err.reason, "archive_unsafe");
    assert_true(is_empty(outside));
    assert_int_equal(lstat(at(fixture, "link"), &status), 0);
}

static void a_link_in_a_files_place_is_replaced_and_not_written_through(void **state)
{
    struct fixture *fixture = *state;
    char outside[PATH_MAX_HERE];
    struct stat status;
    (void)snprintf(outside, sizeof outside, "%s/outside", fixture->folder);
    assert_int_equal(symlink(outside, at(fixture, "file")), 0);
    add_file(fixture, "file", "x");
    expect_unpacked(fixture);
    assert_int_equal(lstat(at(fixture, "file"), &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_not_equal(lstat(outside, &status), 0);
}

static void hard_links_reach_only_files_of_the_archive(void **state)
{
    struct fixture *fixture = *state;
    add_hard_link(fixture, "passwd", "/etc/passwd");
    expect_unsafe(fixture);
    add_hard_link(fixture, "x", "../y");
    expect_unsafe(fixture);
    add_hard_link(fixture, "x", "none");
    expect_unsafe(fixture);
    add_link(fixture, "link", "somewhere");
    add_hard_link(fixture, "x", "link");
    expect_unsafe(fixture);
}

static void devices_and_fifos_are_refused(void **state)
{
    static const char kinds[] = {'3', '4', '6'};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof kinds; i++) {
        add_file(fixture, "node", "");
        turn_into(fixture, kinds[i]);
        expect_unsafe(fixture);
    }
}

static void set_uid_bits_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    add(fixture, "su", S_IFREG | S_ISUID | 0755, NULL, (struct view){0});
    expect_unsafe(fixture);
    add(fixture, "sg", S_IFREG | S_ISGID | 0755, NULL, (struct view){0});
    expect_unsafe(fixture);
    add(fixture, "folder/", S_IFDIR | S_ISGID | S_ISVTX | 0755, NULL, (struct view){0});
    expect_unpacked(fixture);
    assert_int_equal(stat(at(fixture, "folder"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
}

static void a_second_member_of_a_name_is_refused(void **state)
{
    struct fixture *fixture = *state;
    add_file(fixture, "a", "1");
    add_file(fixture, "./a", "2");
    expect_unsafe(fixture);
    add_file(fixture, "a/b", "1");
    add_link(fixture, "a", "x");
    expect_unsafe(fixture);
    add(fixture, "a/", S_IFDIR | 0755, NULL, (struct view){0});
    add(fixture, "a", S_IFDIR | 0755, NULL, (struct view){0});
    expect_unsafe(fixture);
}

static void a_folder_may_come_after_what_is_in_it(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    add_file(fixture, "a/b", "1");
    add(fixture, "a/", S_IFDIR | 0700, NULL, (struct view){0});
    expect_unpacked(fixture);
    assert_int_equal(stat(at(fixture, "a"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void a_folder_that_vanished_meanwhile_may_be_made_again(void **state)
{
    struct made made;
    struct err err = {0};
    (void)state;
    assert_true(made_init(&made, &err));
    struct made_item *folder = made_add_folder(&made, "a", &err);
    assert_non_null(folder);
    assert_ptr_equal(made_add_folder(&made, "a", &err), folder);
    assert_non_null(made_add_member(&made, "a/b", MADE_FILE, &err));
    assert_null(made_add_folder(&made, "a/b", &err));
    assert_string_equal(err.reason, "archive_unsafe");
    assert_int_equal(made.folder_count, 1);
    made_free(&made);
}

static void too_many_members_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    for (int i = 0; i <= MADE_MEMBERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "m%d", i);
        add_file(fixture, name, "");
    }
    end(fixture);
    expect_refused(fixture, "archive_too_large");
}

static void too_many_bytes_are_refused(void **state)
{
    struct fixture *fixture = *state;
    AUTO(free_string) char *bytes = malloc(BYTES_MAX);
    assert_non_null(bytes);
    memset(bytes, 'x', BYTES_MAX);
    add_file(fixture, "small", "x");
    add(fixture, "large", S_IFREG | 0644, NULL, (struct view){bytes, BYTES_MAX});
    end(fixture);
    expect_refused(fixture, "archive_too_large");
    add(fixture, "large", S_IFREG | 0644, NULL, (struct view){bytes, BYTES_MAX});
    expect_unpacked(fixture);
    assert_int_equal(fixture->result.bytes, BYTES_MAX);
}

/* Returns the archive packed with gzip, for the caller to free. */
static char *packed(struct fixture *fixture, size_t *len)
{
    char *bytes = NULL;
    FILE *file = open_memstream(&bytes, len);
    struct output *output = output_new(file, true, &fixture->err);
    assert_non_null(output);
    assert_true(output_write(output, fixture->archive.data, fixture->archive.len, &fixture->err));
    assert_true(output_finish(output, &fixture->err));
    output_free(output);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

static void an_archive_that_grows_too_much_is_refused(void **state)
{
    struct fixture *fixture = *state;
    enum { SIZE = 4 * 1024 * 1024 };
    AUTO(free_string) char *bytes = calloc(1, SIZE);
    size_t len;
    add(fixture, "zeros", S_IFREG | 0644, NULL, (struct view){bytes, SIZE});
    end(fixture);
    AUTO(free_string) char *archive = packed(fixture, &len);
    assert_false(unpack_bytes(fixture, (struct view){archive, len}, INPUT_AUTO));
    assert_string_equal(fixture->err.reason, "archive_too_large");
    assert_true(is_empty(fixture->target));
}

static void a_packed_archive_that_is_damaged_or_cut_off_is_refused(void **state)
{
    struct fixture *fixture = *state;
    size_t len;
    add_file(fixture, "a", "some text");
    end(fixture);
    AUTO(free_string) char *archive = packed(fixture, &len);
    for (size_t cut = 0; cut < len; cut++) {
        assert_false(unpack_bytes(fixture, (struct view){archive, cut}, INPUT_TAR_GZ));
        assert_string_equal(fixture->err.reason, "archive_malformed");
        assert_true(is_empty(fixture->target));
    }
    archive[len - 5]++; /* the check sum's last byte */
    assert_false(unpack_bytes(fixture, (struct view){archive, len}, INPUT_TAR_GZ));
    assert_string_equal(fixture->err.reason, "archive_malformed");
    archive[len - 5]--;
    assert_true(unpack_bytes(fixture, (struct view){archive, len}, INPUT_TAR_GZ));
    expect_content(fixture, "a", "some text");
}

static void an_archive_that_is_cut_off_is_refused(void **state)
{
    struct fixture *fixture = *state;
    add_file(fixture, "a", "some text");
    add_file(fixture, "b", "");
    size_t len = fixture->archive.len;
    /* At each block too: between two members, and before the end is marked. */
    for (size_t cut = 0; cut <= len; cut += 64) {
        assert_false(unpack_bytes(fixture, (struct view){fixture->archive.data, cut}, INPUT_AUTO));
        assert_string_equal(fixture->err.reason, "archive_malformed");
        assert_true(is_empty(fixture->target));
    }
    expect_unpacked(fixture);
}

static void what_is_no_archive_is_refused(void **state)
{
    struct fixture *fixture = *state;
    str_append_string(&fixture->archive, "PK\003\004 and then something else");
    expect_refused(fixture, "archive_malformed");
    add_file(fixture, "a", "");
    end(fixture);
    assert_false(unpack_bytes(fixture, str_view(&fixture->archive), INPUT_TAR_GZ));
    assert_string_equal(fixture->err.reason, "archive_malformed");
}

static void what_was_there_stays_or_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    assert_int_equal(mkdir(at(fixture, "folder"), 0711), 0);
    int fd = open(at(fixture, "folder/old"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "old text", 8), 8);
    assert_int_equal(close(fd), 0);
    add(fixture, "folder/", S_IFDIR | 0755, NULL, (struct view){0});
    add_file(fixture, "folder/old", "new");
    expect_unpacked(fixture);
    expect_content(fixture, "folder/old", "new");
    assert_int_equal(stat(at(fixture, "folder"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0711);

    str_clear(&fixture->archive);
    add_file(fixture, "folder/new", "x");
    add_file(fixture, "folder", "in the way");
    end(fixture);
    assert_false(unpack_bytes(fixture, str_view(&fixture->archive), INPUT_AUTO));
    assert_int_not_equal(stat(at(fixture, "folder/new"), &status), 0);
    expect_content(fixture, "folder/old", "new");
}

static void a_folder_that_was_missing_is_made_and_taken_back(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    char made[PATH_MAX_HERE];
    (void)snprintf(made, sizeof made, "%s/in/x", fixture->folder);
    (void)snprintf(fixture->target, sizeof fixture->target, "%s/in/x/y/z/", fixture->folder);
    add_file(fixture, "a", "1");
    end(fixture);
    assert_true(unpack_bytes(fixture, str_view(&fixture->archive), INPUT_AUTO));
    expect_content(fixture, "a", "1");
    folder_remove(made);
    assert_false(unpack_bytes(fixture, VIEW("nothing"), INPUT_AUTO));
    assert_int_not_equal(stat(made, &status), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_archive_is_unpacked),
        TEST(names_that_leave_the_folder_are_refused),
        TEST(links_that_lead_outside_are_refused),
        TEST(nothing_is_put_behind_a_link),
        TEST(nothing_is_put_behind_a_link_that_was_there),
        TEST(a_link_in_a_files_place_is_replaced_and_not_written_through),
        TEST(hard_links_reach_only_files_of_the_archive),
        TEST(devices_and_fifos_are_refused),
        TEST(set_uid_bits_are_refused),
        TEST(a_second_member_of_a_name_is_refused),
        TEST(a_folder_may_come_after_what_is_in_it),
        cmocka_unit_test(a_folder_that_vanished_meanwhile_may_be_made_again),
        TEST(too_many_members_are_refused),
        TEST(too_many_bytes_are_refused),
        TEST(an_archive_that_grows_too_much_is_refused),
        TEST(a_packed_archive_that_is_damaged_or_cut_off_is_refused),
        TEST(an_archive_that_is_cut_off_is_refused),
        TEST(what_is_no_archive_is_refused),
        TEST(what_was_there_stays_or_is_replaced),
        TEST(a_folder_that_was_missing_is_made_and_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
