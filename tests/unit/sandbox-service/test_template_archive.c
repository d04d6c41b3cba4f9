#include "sandbox-service/templates/archive.h"

#include "tests/support/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_file(const char *path, const struct str *content)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content->data, 1, content->len, file), content->len);
    assert_int_equal(fclose(file), 0);
}

static void read_file(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(out, 1, size - 1, file);
    out[len] = '\0';
    assert_int_equal(fclose(file), 0);
}

/* What the system's own tar says to that. */
static void ask_tar(const char *const *argv, const char *log_path, char *out, size_t size)
{
    assert_int_equal(process_wait(process_start(argv, NULL, log_path)), 0);
    read_file(log_path, out, size);
}

static void tar_reads_what_was_written(void **state)
{
    (void)state;
    char folder[] = "/tmp/insien-archive-XXXXXX";
    char archive[64];
    char log_path[64];
    char said[64];
    struct err err = {0};
    AUTO(str_free) struct str out = STR_INIT(1 << 20);
    assert_true(archive_add_file(&out, ".insien-x", VIEW("FROM a\n"), &err));
    assert_true(archive_add_file(&out, "b", VIEW(""), &err));
    archive_end(&out);
    assert_int_equal(out.len % ARCHIVE_BLOCK, 0);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(archive, sizeof archive, "%s/tar", folder);
    (void)snprintf(log_path, sizeof log_path, "%s/log", folder);
    write_file(archive, &out);
    const char *const list[] = {"tar", "-tf", archive, NULL};
    ask_tar(list, log_path, said, sizeof said);
    assert_string_equal(said, ".insien-x\nb\n");
    (void)unlink(log_path);
    const char *const extract[] = {"tar", "-xOf", archive, ".insien-x", NULL};
    ask_tar(extract, log_path, said, sizeof said);
    assert_string_equal(said, "FROM a\n");
    (void)unlink(log_path);
    (void)unlink(archive);
    (void)rmdir(folder);
}

static void name_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    char name[ARCHIVE_NAME_MAX + 2];
    struct err err = {0};
    AUTO(str_free) struct str out = STR_INIT(1 << 20);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(archive_add_file(&out, name, VIEW(""), &err));
}

enum { KIND_AT = 156, SIZE_AT = 124, CHECKSUM_AT = 148 };

/* The checksum of a header that was changed. */
static void sum_again(char *header)
{
    unsigned sum = 0;
    memset(header + CHECKSUM_AT, ' ', 8);
    for (size_t i = 0; i < ARCHIVE_BLOCK; i++) {
        sum += (unsigned char)header[i];
    }
    (void)snprintf(header + CHECKSUM_AT, 8, "%06o", sum);
}

static void expect_refused(struct str *archive, const char *why)
{
    struct err err = {0};
    sum_again(archive->data);
    assert_false(archive_check(str_view(archive), &err));
    assert_string_equal(err.reason, "invalid_folder");
    if (strstr(err.message, why) == NULL) {
        fail_msg("%s", err.message);
    }
}

static void what_grows_when_it_is_unpacked_is_refused(void **state)
{
    (void)state;
    static const char *const records[] = {"22 GNU.sparse.major=1\n", "11 size=99\n"};
    struct err err = {0};
    for (size_t i = 0; i < 2; i++) {
        AUTO(str_free) struct str archive = STR_INIT(1 << 20);
        assert_true(archive_add_file(&archive, "x", view_of(records[i]), &err));
        assert_true(archive_check(str_view(&archive), &err)); /* what files say is theirs */
        archive.data[KIND_AT] = 'x';
        expect_refused(&archive, "sparse");
    }
    AUTO(str_free) struct str archive = STR_INIT(1 << 20);
    assert_true(archive_add_file(&archive, "x", VIEW("content"), &err));
    archive.data[KIND_AT] = 'S';
    expect_refused(&archive, "sparse");
    archive.data[KIND_AT] = '\0';
    expect_refused(&archive, "other kinds");
    archive.data[KIND_AT] = '5';
    expect_refused(&archive, "has content");
    archive.data[KIND_AT] = '0';
    memcpy(archive.data + SIZE_AT, "00000002000", 11);
    expect_refused(&archive, "within a file");
    archive.data[SIZE_AT] = (char)0x80;
    expect_refused(&archive, "no tar");
    assert_true(archive_check((struct view){0}, &err));
    assert_false(archive_check(VIEW("\037\213"), &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tar_reads_what_was_written),
        cmocka_unit_test(what_grows_when_it_is_unpacked_is_refused),
        cmocka_unit_test(name_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
