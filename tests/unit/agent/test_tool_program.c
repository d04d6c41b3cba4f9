/* The program itself, as the agent starts it; TOOL_PROGRAM is where it was built. As nobody: takes
 * root. */
#include "common/base/cleanup.h"
#include "tests/support/folder.h"
#include "tests/support/process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATH_MAX_HERE = 256,
    OUTPUT_MAX = 16 * 1024,
    WORDS_MAX = 6,
};

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    char program[PATH_MAX_HERE]; /* a copy that nobody can reach */
    char from[PATH_MAX_HERE];
    char to[PATH_MAX_HERE];
    char output[PATH_MAX_HERE];
    char text[OUTPUT_MAX + 1]; /* of the latest run, both of its outputs */
};

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static bool copy_program(const char *to)
{
    struct stat status;
    AUTO(close_fd) int source = open(TOOL_PROGRAM, O_RDONLY | O_CLOEXEC);
    AUTO(close_fd) int copy = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    if (source < 0 || copy < 0 || fstat(source, &status) != 0) {
        return false;
    }
    for (off_t left = status.st_size; left > 0;) {
        ssize_t some = sendfile(copy, source, NULL, (size_t)left);
        if (some <= 0) {
            return false;
        }
        left -= some;
    }
    return true;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    char name[PATH_MAX_HERE * 2];
    folder_make(fixture.folder);
    (void)snprintf(fixture.program, sizeof fixture.program, "%s/tool", fixture.folder);
    (void)snprintf(fixture.from, sizeof fixture.from, "%s/from", fixture.folder);
    (void)snprintf(fixture.to, sizeof fixture.to, "%s/to", fixture.folder);
    (void)snprintf(fixture.output, sizeof fixture.output, "%s/output", fixture.folder);
    (void)snprintf(name, sizeof name, "%s/file", fixture.from);
    *state = &fixture;
    if (chmod(fixture.folder, 0755) != 0 || mkdir(fixture.from, 0755) != 0 ||
        !copy_program(fixture.program)) {
        return -1;
    }
    put(name, "text");
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    folder_remove(fixture->folder);
    return 0;
}

struct words {
    const char *items[WORDS_MAX];
};
#define WORDS(...) ((struct words){{__VA_ARGS__}})

/* input: a file. Returns the exit code. */
static int run(struct fixture *fixture, const char *user, const char *input, struct words words)
{
    const char *argv[WORDS_MAX + 2] = {fixture->program};
    memcpy(argv + 1, words.items, sizeof words.items);
    AUTO(close_fd) int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    AUTO(close_fd) int source = open(input, O_RDONLY | O_CLOEXEC);
    assert_true(saved >= 0 && source >= 0);
    (void)remove(fixture->output);
    assert_int_equal(dup2(source, STDIN_FILENO), STDIN_FILENO);
    int status = process_wait(process_start(argv, user, fixture->output));
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    AUTO(close_fd) int output = open(fixture->output, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(output, fixture->text, OUTPUT_MAX);
    assert_true(len >= 0 && WIFEXITED(status));
    fixture->text[len] = '\0';
    return WEXITSTATUS(status);
}

static void a_folder_goes_through_both_ways(void **state)
{
    struct fixture *fixture = *state;
    char archive[PATH_MAX_HERE];
    char copy[PATH_MAX_HERE * 2];
    (void)snprintf(archive, sizeof archive, "%s/archive", fixture->folder);
    (void)snprintf(copy, sizeof copy, "%s/file", fixture->to);
    assert_int_equal(run(fixture, NULL, "/dev/null", WORDS("pack", fixture->from, "tar.gz")), 0);
    assert_int_equal(rename(fixture->output, archive), 0);
    assert_int_equal(run(fixture, NULL, archive, WORDS("unpack", fixture->to, "auto")), 0);
    assert_string_equal(fixture->text, "{\"entries\":1,\"bytes\":4}\n");
    assert_int_equal(access(copy, R_OK), 0);
    assert_int_equal(
        run(fixture, NULL, archive, WORDS("unpack", fixture->to, "auto", "--max-bytes", "3")), 1);
    assert_non_null(strstr(fixture->text, "\"code\":\"archive_too_large\"}"));
    assert_int_equal(access(copy, R_OK), 0);
}

static void nobody_may_not_write_into_a_folder_of_root(void **state)
{
    struct fixture *fixture = *state;
    char archive[PATH_MAX_HERE];
    (void)snprintf(archive, sizeof archive, "%s/archive", fixture->folder);
    assert_int_equal(run(fixture, NULL, "/dev/null", WORDS("pack", fixture->from, "tar")), 0);
    assert_int_equal(rename(fixture->output, archive), 0);
    assert_int_equal(run(fixture, "nobody", archive, WORDS("unpack", fixture->from, "tar")), 1);
    assert_non_null(strstr(fixture->text, "\"code\":\"permission_denied\"}"));
    assert_int_equal(run(fixture, "nobody", archive, WORDS("unpack", fixture->to, "tar")), 1);
    assert_non_null(strstr(fixture->text, "\"code\":\"permission_denied\"}"));
}

static void hits_and_mistakes_are_json(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(
        run(fixture, NULL, "/dev/null", WORDS("search", fixture->from, "{\"text\":\"t\"}")), 0);
    assert_non_null(strstr(fixture->text, "{\"path\":\"file\",\"line\":1,"));
    assert_int_equal(run(fixture, NULL, "/dev/null", WORDS("search", fixture->from, "{}")), 1);
    assert_non_null(strstr(fixture->text, "\"code\":\"validation_failed\"}"));
}

static void wrong_arguments_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct words calls[] = {
        WORDS("pack"),
        WORDS("pack", "/"),
        WORDS("pack", fixture->from, "auto"),
        WORDS("pack", fixture->from, "zip"),
        WORDS("unpack", fixture->to, "tar", "--max-bytes"),
        WORDS("unpack", fixture->to, "tar", "--max-bytes", "-1"),
        WORDS("unpack", fixture->to, "tar", "--max-bytes", "99999999999999999999"),
        WORDS("unpack", fixture->to, "tar", "--more", "1"),
        WORDS("search", fixture->from),
        WORDS("erase", fixture->from, "tar"),
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        assert_int_equal(run(fixture, NULL, "/dev/null", calls[i]), 1);
        assert_non_null(strstr(fixture->text, "\"code\":\"invalid_arguments\"}"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_goes_through_both_ways),
        TEST(nobody_may_not_write_into_a_folder_of_root),
        TEST(hits_and_mistakes_are_json),
        TEST(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
