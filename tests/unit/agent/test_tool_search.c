#include "sandbox-service/agent/tools/search.h"

#include "common/base/str.h"
#include "common/base/utf8.h"
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

enum { NOBODY = 65534 };

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    int fd;
    char *answer;
    struct err err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    folder_make(fixture.folder);
    *state = &fixture;
    fixture.fd = open(fixture.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fixture.fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_fd(&fixture->fd);
    folder_remove(fixture->folder);
    free(fixture->answer);
    return 0;
}

static void put(struct fixture *fixture, const char *name, struct view content)
{
    AUTO(close_fd)
    int fd = openat(fixture->fd, name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.ptr, content.len), content.len);
}

static bool search_it(struct fixture *fixture, const char *query)
{
    size_t len;
    free(fixture->answer);
    fixture->answer = NULL;
    FILE *file = open_memstream(&fixture->answer, &len);
    assert_non_null(file);
    bool succeeded = search(fixture->folder, view_of(query), file, &fixture->err);
    assert_int_equal(fclose(file), 0);
    return succeeded;
}

static void expect(struct fixture *fixture, const char *query, const char *answer)
{
    if (!search_it(fixture, query)) {
        fail_msg("%s: %s", query, fixture->err.message);
    }
    assert_string_equal(fixture->answer, answer);
}

static void expect_refused(struct fixture *fixture, const char *query, const char *reason)
{
    assert_false(search_it(fixture, query));
    assert_string_equal(fixture->err.reason, reason);
    assert_string_equal(fixture->answer, "");
}

static void fill(struct fixture *fixture)
{
    assert_int_equal(mkdirat(fixture->fd, "sub", 0755), 0);
    put(fixture, "sub/b.c", VIEW("int x;\r\n\xc3\xbc Needle\nneedle needle"));
    put(fixture, "a.txt", VIEW("no\nneedle\n"));
    put(fixture, "binary", VIEW("needle\0needle"));
    assert_int_equal(symlinkat("a.txt", fixture->fd, "link"), 0);
    assert_int_equal(symlinkat("..", fixture->fd, "sub/loop"), 0);
    assert_int_equal(mkfifoat(fixture->fd, "fifo", 0644), 0);
}

static void names_are_found(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect(fixture, "{\"name\":\"*b*\"}",
           "{\"path\":\"binary\"}\n{\"path\":\"sub\"}\n{\"path\":\"sub/b.c\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":0}\n");
    expect(fixture, "{\"name\":\"SUB/*.C\",\"caseSensitive\":false}",
           "{\"path\":\"sub/b.c\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":0}\n");
}

static void text_is_found_in_files_and_not_behind_links(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect(fixture, "{\"text\":\"needle\"}",
           "{\"path\":\"a.txt\",\"line\":2,\"column\":1,\"text\":\"needle\"}\n"
           "{\"path\":\"sub/b.c\",\"line\":3,\"column\":1,\"text\":\"needle needle\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":0}\n");
    expect(fixture, "{\"text\":\"NEEDLE\",\"caseSensitive\":false,\"name\":\"*.c\"}",
           "{\"path\":\"sub/b.c\",\"line\":2,\"column\":3,\"text\":\"\xc3\xbc Needle\"}\n"
           "{\"path\":\"sub/b.c\",\"line\":3,\"column\":1,\"text\":\"needle needle\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":0}\n");
}

static void regular_expressions_are_found(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect(fixture, "{\"text\":\"^int [a-z]+;$\",\"regex\":true}",
           "{\"path\":\"sub/b.c\",\"line\":1,\"column\":1,\"text\":\"int x;\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":0}\n");
    expect(fixture, "{\"text\":\"[n]EE\",\"regex\":true,\"caseSensitive\":false,\"name\":\"a*\"}",
           "{\"path\":\"a.txt\",\"line\":2,\"column\":1,\"text\":\"needle\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":0}\n");
}

static void a_search_ends_with_enough_hits_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect(fixture, "{\"text\":\"needle\",\"maxResults\":1}",
           "{\"path\":\"a.txt\",\"line\":2,\"column\":1,\"text\":\"needle\"}\n"
           "{\"done\":true,\"truncated\":true,\"files\":3,\"skipped\":0}\n");
    expect(fixture, "{\"name\":\"a*\",\"maxResults\":1}",
           "{\"path\":\"a.txt\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":0}\n");
}

static void files_that_are_too_large_are_skipped_and_counted(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect(fixture, "{\"text\":\"needle\",\"maxFileBytes\":12}",
           "{\"path\":\"a.txt\",\"line\":2,\"column\":1,\"text\":\"needle\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":3,\"skipped\":2}\n");
}

/* As nobody: takes root. A folder that can be listed and not entered, and one that can't be listed.
 */
static void what_cannot_be_read_is_skipped_and_counted(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fchmod(fixture->fd, 0755), 0);
    fill(fixture);
    assert_int_equal(mkdirat(fixture->fd, "closed", 0700), 0);
    assert_int_equal(fchmodat(fixture->fd, "sub", 0744, 0), 0);
    assert_int_equal(fchmodat(fixture->fd, "a.txt", 0600, 0), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    bool searched = search_it(fixture, "{\"text\":\"needle\"}");
    assert_int_equal(seteuid(0), 0);
    assert_true(searched);
    assert_string_equal(fixture->answer,
                        "{\"done\":true,\"truncated\":false,\"files\":2,\"skipped\":4}\n");
}

/* Of two-byte characters, so that a cut anywhere may part one. */
static void of_a_long_line_the_part_around_the_hit_is_shown(void **state)
{
    struct fixture *fixture = *state;
    AUTO(str_free) struct str line = STR_INIT(8192);
    str_append_char(&line, 'x');
    for (int i = 0; i < 2000; i++) {
        str_append_string(&line, i == 1000 ? "needle" : "\xc3\xbc");
    }
    put(fixture, "long", str_view(&line));
    assert_true(search_it(fixture, "{\"text\":\"needle\"}"));
    const char *text = strstr(fixture->answer, "\"text\":\"");
    assert_non_null(text);
    text += strlen("\"text\":\"");
    const char *end = strchr(text, '"');
    struct view shown = {text, (size_t)(end - text)};
    assert_true(shown.len <= SEARCH_TEXT_MAX && shown.len > SEARCH_TEXT_MAX - 4);
    assert_true(utf8_is_valid(shown));
    assert_non_null(strstr(text, "needle"));
    assert_null(memmem(shown.ptr, shown.len, "\xef\xbf\xbd", 3));
    assert_non_null(strstr(fixture->answer, "\"column\":1002,"));
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "\xff", VIEW("\xfe needle"));
    expect(fixture, "{\"text\":\"needle\"}",
           "{\"path\":\"\xef\xbf\xbd\",\"line\":1,\"column\":3,\"text\":\"\xef\xbf\xbd needle\"}\n"
           "{\"done\":true,\"truncated\":false,\"files\":1,\"skipped\":0}\n");
}

static void queries_that_mean_nothing_are_refused(void **state)
{
    struct fixture *fixture = *state;
    expect_refused(fixture, "{", "invalid_json");
    expect_refused(fixture, "{}", "validation_failed");
    expect_refused(fixture, "{\"text\":\"\"}", "validation_failed");
    expect_refused(fixture, "{\"text\":\"a\\nb\"}", "validation_failed");
    expect_refused(fixture, "{\"text\":\"a\",\"maxResults\":10001}", "validation_failed");
    expect_refused(fixture, "{\"text\":\"(\",\"regex\":true}", "invalid_regex");
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    struct fixture *fixture = *state;
    folder_remove(fixture->folder);
    expect_refused(fixture, "{\"name\":\"*\"}", "file_not_found");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_found),
        TEST(text_is_found_in_files_and_not_behind_links),
        TEST(regular_expressions_are_found),
        TEST(a_search_ends_with_enough_hits_and_says_so),
        TEST(files_that_are_too_large_are_skipped_and_counted),
        TEST(what_cannot_be_read_is_skipped_and_counted),
        TEST(of_a_long_line_the_part_around_the_hit_is_shown),
        TEST(bytes_that_are_not_utf8_are_replaced),
        TEST(queries_that_mean_nothing_are_refused),
        TEST(a_folder_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
