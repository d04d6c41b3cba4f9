#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/json/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

enum { OUTPUT_SIZE = 65536 };

/* What is written to stderr between these two, in output. */
static char output[OUTPUT_SIZE];
static int pipe_read;
static int real_stderr;

static void begin_capture(void)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    pipe_read = fds[0];
    real_stderr = dup(STDERR_FILENO);
    assert_true(real_stderr >= 0);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    (void)close(fds[1]);
}

static struct view end_capture(void)
{
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    (void)close(real_stderr);
    ssize_t got = read(pipe_read, output, sizeof output - 1);
    (void)close(pipe_read);
    output[got < 0 ? 0 : got] = '\0';
    return view_of(output);
}

static void expect_json_line(struct view line)
{
    struct err err;
    assert_true(line.len > 1);
    assert_ptr_equal(strchr(line.ptr, '\n'), line.ptr + line.len - 1);
    if (!json_scan(line, NULL, NULL, &err)) {
        fail_msg("%s: %s", err.message, line.ptr);
    }
}

static void an_event_is_one_json_line(void **state)
{
    (void)state;
    log_open("tester", LOG_INFO);
    begin_capture();
    log_info("thing.done", LOG_STR("id", "x\"y\\z\n"), LOG_INT("count", -5),
             LOG_VIEW("bytes", VIEW("a\xff"
                                    "b")),
             LOG_STR("nothing", NULL));
    struct view line = end_capture();
    expect_json_line(line);
    assert_non_null(strstr(output, "\"level\":\"info\",\"service\":\"tester\","
                                   "\"event\":\"thing.done\",\"id\":\"x\\\"y\\\\z\\u000a\","
                                   "\"count\":-5,\"bytes\":\"a\xef\xbf\xbd"
                                   "b\",\"nothing\":\"\"}"));
}

static void levels_below_the_least_are_silent(void **state)
{
    (void)state;
    log_open("tester", LOG_WARN);
    begin_capture();
    log_debug("a.b");
    log_info("a.b", LOG_INT("n", 1));
    assert_int_equal(end_capture().len, 0);
    log_set_level(LOG_DEBUG);
    begin_capture();
    log_debug("a.b");
    expect_json_line(end_capture());
}

static void an_error_is_two_fields(void **state)
{
    (void)state;
    struct err err = {0};
    log_open("tester", LOG_INFO);
    assert_false(err_set_reason(&err, ERR_TIMEOUT, "slow", "it took long"));
    begin_capture();
    log_error("call.failed", LOG_ERR(&err));
    expect_json_line(end_capture());
    assert_non_null(strstr(output, "\"error\":\"it took long\",\"reason\":\"slow\""));
}

static void long_values_are_cut_and_long_lines_stay_json(void **state)
{
    (void)state;
    char text[4000];
    memset(text, 1, sizeof text);
    const struct view value = {text, sizeof text};
    log_open("tester", LOG_INFO);
    begin_capture();
    log_info("much.text", LOG_VIEW("a", value), LOG_VIEW("b", value), LOG_INT("c", 1));
    struct view line = end_capture();
    expect_json_line(line);
    assert_in_range(line.len, 6000, 8192);
    assert_null(strstr(output, "\"b\":"));
    assert_non_null(strstr(output, "\"c\":1"));
}

static void levels_have_names(void **state)
{
    (void)state;
    enum log_level level = LOG_INFO;
    assert_true(log_level_parse(VIEW("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(log_level_parse(VIEW("error"), &level));
    assert_int_equal(level, LOG_ERROR);
    assert_false(log_level_parse(VIEW("Error"), &level));
    assert_false(log_level_parse(VIEW(""), &level));
}

/* A pipe whose reader takes nothing, as a log daemon's whose disk is full. */
static void a_reader_that_stopped_stops_nobody(void **state)
{
    (void)state;
    enum { LINES = 2000, PATIENCE_MS = 5000 };
    char long_text[1000];
    memset(long_text, 'x', sizeof long_text);
    begin_capture();
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_WRONLY), 0);
    int64_t began_ms = clock_monotonic_ms();
    for (int i = 0; i < LINES; i++) {
        struct view text = {long_text, (size_t)i % sizeof long_text};
        log_info("thing.done", LOG_VIEW("a", text), LOG_VIEW("b", text), LOG_VIEW("c", text),
                 LOG_VIEW("d", text), LOG_VIEW("e", text));
    }
    assert_true(clock_monotonic_ms() - began_ms < PATIENCE_MS);
    while (read(pipe_read, output, sizeof output) > 0) {
    }
    log_info("thing.done_again");
    struct view text = end_capture();
    assert_non_null(strstr(text.ptr, "\"level\":\"warn\",\"service\":\"tester\","
                                     "\"event\":\"log.lost\",\"count\":"));
    assert_non_null(strstr(text.ptr, "thing.done_again"));
    const char *line = text.ptr + strspn(text.ptr, "\n"); /* behind one that was cut */
    while (*line != '\0') {
        const char *end = strchr(line, '\n');
        struct err err;
        assert_non_null(end);
        assert_true(json_scan((struct view){line, (size_t)(end - line)}, NULL, NULL, &err));
        line = end + 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_json_line),
        cmocka_unit_test(levels_below_the_least_are_silent),
        cmocka_unit_test(an_error_is_two_fields),
        cmocka_unit_test(long_values_are_cut_and_long_lines_stay_json),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(a_reader_that_stopped_stops_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
