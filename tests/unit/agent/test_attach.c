/* Output as it comes, its end, and being away meanwhile; with real programs. */
#include "tests/unit/agent/caller.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { MARK_SIZE = 64 };

/* A line of the shell, with more members. */
#define EXEC(more, line)                                                                           \
    "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"sh\",\"args\":[\"-c\",\"" line "\"]," more "}"
#define STREAM(id) "\"stream\":true,\"streamId\":" #id

/* A path where there is no file yet. */
static void name_mark(char path[MARK_SIZE])
{
    (void)snprintf(path, MARK_SIZE, "/tmp/insien-test-mark-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}

static bool is_marked(void *arg)
{
    return access(arg, F_OK) == 0;
}

static void stream_tells_its_output_and_its_end(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC(STREAM(1), "echo out; echo err >&2; exit 3"));
    assert_true(caller_heard(caller, "{\"id\":\"x\",\"type\":\"execResponse\",\"streamId\":1,"));
    assert_true(caller_heard(caller, "\"offsets\":{\"stdout\":0,\"stderr\":0},\"startedAt\":\"2"));
    caller_wait_text(caller, "\"exit\"");
    assert_string_equal(caller_output(caller, 1, STREAM_STDOUT), "out\n");
    assert_string_equal(caller_output(caller, 1, STREAM_STDERR), "err\n");
    assert_true(caller_heard(caller, "\"exitCode\":3,\"signal\":null,\"reason\":\"exited\","));
    assert_false(caller_heard(caller, "outputOpen"));
    /* The id may be used again. */
    caller_forget(caller, 1);
    caller_ask_for(caller, "\"signal\":\"SIGTERM\",\"reason\":\"signaled\"",
                   EXEC(STREAM(1), "kill $$"));
    assert_false(caller_stream(caller, 1)->reset || caller_stream(caller, 1)->fin);
}

static void failure_to_start_leaves_no_stream(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"no-such\"," STREAM(1) "}");
    assert_true(caller_heard(caller, "command_not_found"));
    caller_ask(caller, EXEC("\"stream\":true", "true"));
    assert_true(caller_heard(caller, "\"code\":\"invalid_request\""));
    caller_ask(caller, EXEC(STREAM(1), "sleep 5"));
    assert_true(caller_heard(caller, "execResponse"));
    caller_ask(caller, EXEC(STREAM(1), "true"));
    assert_true(caller_heard(caller, "stream_in_use"));
}

static void timeout_ends_a_stream(void **state)
{
    struct caller *caller = *state;
    caller_ask_for(caller, "\"exitCode\":null,\"signal\":\"SIGKILL\",\"reason\":\"timeout\"",
                   EXEC(STREAM(1) ",\"timeoutMs\":100", "sleep 60"));
}

static void big_output_arrives_whole_before_its_end(void **state)
{
    struct caller *caller = *state;
    caller_ask_for(caller, "\"exit\"", EXEC(STREAM(1), "seq 1 400000; echo end >&2"));
    const struct caller_stream *stream = caller_stream(caller, 1);
    assert_int_equal(stream->bytes[STREAM_STDOUT].len, 2688895);
    const char *at = stream->bytes[STREAM_STDOUT].data;
    for (long expected = 1; expected <= 400000; expected++) {
        char *end = NULL;
        assert_int_equal(strtol(at, &end, 10), expected);
        at = end + 1;
    }
    assert_string_equal(caller_output(caller, 1, STREAM_STDERR), "end\n");
}

static void reader_without_credit_stops_the_program_and_no_other(void **state)
{
    struct caller *caller = *state;
    caller_stream(caller, 1)->stalled = true;
    caller_stream(caller, 2)->discards = true;
    caller_ask(caller,
               EXEC(STREAM(1) ",\"tag\":\"slow\"", "head -c 5000000 /dev/zero; echo end >&2"));
    caller_wait_count(caller, 1, STREAM_WINDOW_INITIAL);
    caller_ask_for(caller, "\"exit\"", EXEC(STREAM(2), "head -c 20000000 /dev/zero"));
    assert_int_equal(caller_stream(caller, 2)->count, 20000000);
    turn_for(caller->loop, 300);
    assert_int_equal(caller_stream(caller, 1)->count, STREAM_WINDOW_INITIAL);
    caller_ask(caller, "{\"id\":\"p\",\"type\":\"ps\"}");
    assert_true(caller_heard(caller, "\"tag\":\"slow\""));
    assert_true(caller_heard(caller, "\"running\":true"));
    /* It goes on where it stopped. */
    caller_stream(caller, 1)->stalled = false;
    caller_grant(caller, 1, STREAM_WINDOW_INITIAL);
    caller_wait_text(caller, "\"exit\"");
    assert_int_equal(caller_stream(caller, 1)->bytes[STREAM_STDOUT].len, 5000000);
    assert_string_equal(caller_output(caller, 1, STREAM_STDERR), "end\n");
}

static void slow_reader_gets_all_that_the_program_left_in_its_pipe(void **state)
{
    struct caller *caller = *state;
    caller_stream(caller, 1)->stalled = true;
    caller_ask(caller, EXEC(STREAM(1) ",\"spoolBytes\":4096", "head -c 320000 /dev/zero"));
    caller_wait_count(caller, 1, STREAM_WINDOW_INITIAL);
    turn_for(caller->loop, PROCESS_QUIET_MS + 300);
    assert_false(caller_heard(caller, "\"exit\""));
    caller_stream(caller, 1)->stalled = false;
    caller_grant(caller, 1, STREAM_WINDOW_INITIAL);
    caller_wait_text(caller, "\"exit\"");
    assert_int_equal(caller_stream(caller, 1)->count, 320000);
}

static void output_is_replayed_from_an_offset(void **state)
{
    struct caller *caller = *state;
    caller_ask_for(caller, "\"exit\"",
                   EXEC(STREAM(1) ",\"tag\":\"t\"", "printf 0123456789; printf abc >&2"));
    long long pid = caller_number(caller, "pid");
    caller_ask(caller,
               "{\"id\":\"a\",\"type\":\"attach\",\"pid\":%lld,\"streamId\":2,"
               "\"stdoutOffset\":4,\"offset\":1}",
               pid);
    assert_true(caller_heard(caller, "\"type\":\"attachResponse\",\"streamId\":2,"));
    assert_true(caller_heard(caller, "\"tag\":\"t\",\"offsets\":{\"stdout\":4,\"stderr\":1},"
                                     "\"running\":false,\"pty\":false}"));
    assert_true(caller_heard(caller, "\"type\":\"exit\",\"streamId\":2,"));
    assert_string_equal(caller_output(caller, 2, STREAM_STDOUT), "456789");
    assert_string_equal(caller_output(caller, 2, STREAM_STDERR), "bc");
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":3}");
    assert_string_equal(caller_output(caller, 3, STREAM_STDOUT), "0123456789");
    caller_ask(caller,
               "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":4,\"offset\":-1}");
    assert_true(caller_heard(caller, "\"offsets\":{\"stdout\":10,\"stderr\":3}"));
    assert_int_equal(caller_stream(caller, 4)->count, 0);
    caller_ask(caller,
               "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":5,\"offset\":4}");
    assert_true(caller_heard(caller, "\"offsets\":{\"stdout\":4,\"stderr\":3}"));
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"u\",\"streamId\":5}");
    assert_true(caller_heard(caller, "process_not_found"));
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"streamId\":5}");
    assert_true(caller_heard(caller, "invalid_request"));
}

static void detached_process_goes_on_and_its_gap_is_told(void **state)
{
    struct caller *caller = *state;
    char written[MARK_SIZE];
    name_mark(written);
    caller_ask(caller, EXEC(STREAM(1) ",\"tag\":\"t\",\"spoolBytes\":8192",
                            "echo begin; read go; seq 1 20000; sleep 30"));
    caller_wait_output(caller, 1, STREAM_STDOUT, "begin\n");
    caller_ask(caller,
               EXEC(STREAM(2) ",\"tag\":\"u\",\"stdinOpen\":true,\"spoolBytes\":8192",
                    "echo begin; read go; seq 1 20000; touch %s; exec sleep 60"),
               written);
    caller_wait_output(caller, 2, STREAM_STDOUT, "begin\n");
    streams_on_lost(caller->streams);
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"u\",\"data\":\"go\\n\"}");
    assert_true(caller_heard(caller, "\"bytes\":3}"));
    turn_until_true(caller->loop, is_marked, written);
    assert_int_equal(unlink(written), 0);
    caller_ask(caller,
               "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"u\",\"streamId\":3,\"offset\":6}");
    assert_true(caller_heard(caller, "\"running\":true"));
    assert_true(
        caller_heard(caller, "{\"type\":\"gap\",\"streamId\":3,\"kind\":\"stdout\",\"from\":6,"));
    long long to = caller_number(caller, "to");
    caller_wait_output(caller, 3, STREAM_STDOUT, "\n20000\n");
    assert_int_equal(to + (long long)caller_stream(caller, 3)->count, 6 + 108894);
    caller_send(caller, 3, STREAM_RESET, VIEW(""));
    caller_ask(caller, "{\"id\":\"s\",\"type\":\"signal\",\"tag\":\"u\",\"signal\":\"INT\"}");
    assert_true(caller_heard(caller, "signalResponse"));
}

static void several_readers_get_the_same(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller,
               EXEC(STREAM(1) ",\"tag\":\"t\",\"stdinOpen\":true", "read go; seq 1 100000"));
    for (int id = 2; id <= 4; id++) {
        caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":%d}", id);
        assert_true(caller_heard(caller, "attachResponse"));
    }
    caller_stream(caller, 4)->stalled = true;
    caller_send(caller, 3, STREAM_DATA, VIEW("go\n"));
    caller_wait_count(caller, 4, STREAM_WINDOW_INITIAL);
    caller_send(caller, 4, STREAM_RESET, VIEW(""));
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":3,");
    for (uint32_t id = 1; id <= 3; id++) {
        assert_int_equal(caller_stream(caller, id)->count, 588895);
        assert_true(caller_stream(caller, id)->ended);
    }
}

static void background_process_can_be_attached(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC("\"background\":true,\"tag\":\"b\"", "echo hello; exec sleep 30"));
    assert_true(caller_heard(caller, "\"tag\":\"b\",\"background\":true"));
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"b\",\"streamId\":1}");
    caller_wait_output(caller, 1, STREAM_STDOUT, "hello\n");
    caller_ask(caller, EXEC("\"background\":true,\"tag\":\"b\"", "true"));
    assert_true(caller_heard(caller, "tag_in_use"));
    caller_ask(caller, "{\"id\":\"s\",\"type\":\"signal\",\"tag\":\"b\",\"signal\":9}");
    caller_wait_text(caller, "\"signal\":\"SIGKILL\",\"reason\":\"signaled\"");
    caller_ask(caller, "{\"id\":\"s\",\"type\":\"signal\",\"tag\":\"b\",\"signal\":9}");
    assert_true(caller_heard(caller, "process_ended"));
    caller_ask(caller, "{\"id\":\"s\",\"type\":\"signal\",\"tag\":\"b\",\"signal\":\"FROB\"}");
    assert_true(caller_heard(caller, "invalid_request"));
}

static void what_is_left_running_is_told_by_the_end(void **state)
{
    struct caller *caller = *state;
    caller_ask_for(caller, "\"outputOpen\":true",
                   EXEC(STREAM(1), "echo now; (sleep 60; echo late) &"));
    assert_string_equal(caller_output(caller, 1, STREAM_STDOUT), "now\n");
}

static bool has_most_credit_back(void *arg)
{
    return caller_stream(arg, 1)->granted_back > STREAM_WINDOW_INITIAL * 3 / 4;
}

static void stdin_flows_by_credit_and_ends_by_fin(void **state)
{
    static const char part[STREAM_WINDOW_INITIAL];
    struct caller *caller = *state;
    char allowed[MARK_SIZE];
    name_mark(allowed);
    caller_ask(caller,
               EXEC(STREAM(1) ",\"stdin\":\"first\",\"stdinOpen\":true",
                    "until [ -e %s ]; do sleep 0.05; done; rm %s; wc -c"),
               allowed, allowed);
    caller_send(caller, 1, STREAM_DATA, (struct view){part, sizeof part});
    assert_true(caller_stream(caller, 1)->granted_back < sizeof part);
    int fd = open(allowed, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    turn_until_true(caller->loop, has_most_credit_back, caller);
    caller_send(caller, 1, STREAM_DATA, (struct view){part, sizeof part / 2});
    caller_send(caller, 1, STREAM_FIN, VIEW(""));
    caller_wait_text(caller, "\"exit\"");
    assert_string_equal(caller_output(caller, 1, STREAM_STDOUT), "393221\n");
}

static void stdin_of_one_without_is_swallowed(void **state)
{
    static const char part[STREAM_WINDOW_INITIAL];
    struct caller *caller = *state;
    caller_ask(caller, EXEC(STREAM(1) ",\"tag\":\"t\"", "wc -c; sleep 30"));
    caller_wait_output(caller, 1, STREAM_STDOUT, "0\n");
    caller_send(caller, 1, STREAM_DATA, (struct view){part, sizeof part});
    assert_int_equal(caller_stream(caller, 1)->granted_back, sizeof part);
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"t\",\"data\":\"x\"}");
    assert_true(caller_heard(caller, "stdin_closed"));
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"closeStdin\",\"tag\":\"t\"}");
    assert_true(caller_heard(caller, "stdin_closed"));
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"resize\",\"tag\":\"t\",\"cols\":1,\"rows\":1}");
    assert_true(caller_heard(caller, "no_terminal"));
}

static void waiting_input_is_bounded(void **state)
{
    static const size_t input_size = 524288;
    struct caller *caller = *state;
    AUTO(free_string) char *data = malloc(input_size + 1);
    assert_non_null(data);
    memset(data, 'x', input_size);
    data[input_size] = '\0';
    caller_ask(caller, EXEC(STREAM(1) ",\"tag\":\"t\",\"stdinOpen\":true", "exec sleep 60"));
    for (int i = 0; i < 2; i++) {
        caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"t\",\"data\":\"%s\"}", data);
        assert_true(caller_heard(caller, "\"bytes\":524288}"));
    }
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"t\",\"data\":\"%s\"}", data);
    if (!caller_heard(caller, "\"code\":\"busy\"")) {
        caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"t\",\"data\":\"%s\"}", data);
        assert_true(caller_heard(caller, "\"code\":\"busy\""));
    }
}

static void input_comes_as_base64_and_with_its_end(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC(STREAM(1) ",\"tag\":\"t\",\"stdinOpen\":true", "od -An -tx1"));
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"t\",\"data\":\"AP8=\","
                       "\"encoding\":\"base64\",\"eof\":true}");
    assert_true(caller_heard(caller, "\"bytes\":2}"));
    caller_wait_text(caller, "\"exit\"");
    assert_string_equal(caller_output(caller, 1, STREAM_STDOUT), " 00 ff\n");
}

static bool has_used_a_processor(void *arg)
{
    caller_ask(arg, "{\"id\":\"p\",\"type\":\"ps\"}");
    return caller_number(arg, "cpuMs") >= 50;
}

static void processes_are_listed(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller,
               EXEC("\"background\":true,\"tag\":\"b\",\"cwd\":\"/usr\"", "while :; do :; done"));
    caller_ask_for(caller, "execResponse", EXEC("\"cwd\":\"/\"", "exit 4"));
    turn_until_true(caller->loop, has_used_a_processor, caller);
    assert_true(caller_heard(caller,
                             "\"tag\":\"b\",\"cmd\":\"sh\",\"args\":[\"-c\",\"while :; do :; "
                             "done\"],\"cwd\":\"/usr\",\"user\":\"root\",\"pty\":false,"
                             "\"session\":null,\"startedAt\":\"2"));
    assert_true(caller_heard(caller, "\"running\":true,\"exitCode\":null,\"signal\":null,"
                                     "\"reason\":null,\"durationMs\":null,\"cpuMs\":"));
    assert_true(caller_number(caller, "memoryBytes") > 100000);
    assert_true(caller_heard(caller, "\"tag\":null,"));
    assert_true(caller_heard(caller, "\"running\":false,\"exitCode\":4,\"signal\":null,"
                                     "\"reason\":\"exited\",\"durationMs\":"));
    caller_ask(caller, "{\"id\":\"s\",\"type\":\"signal\",\"tag\":\"b\",\"signal\":\"SIGKILL\"}");
}

static void finished_processes_are_kept_within_bounds(void **state)
{
    struct caller *caller = *state;
    for (int i = 0; i < PROCESS_KEPT_MAX + 5; i++) {
        caller_ask_for(caller, "execResponse",
                       "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"true\","
                       "\"tag\":\"t%d\"}",
                       i);
    }
    caller_ask(caller, "{\"id\":\"p\",\"type\":\"ps\"}");
    assert_false(caller_heard(caller, "\"tag\":\"t4\""));
    assert_true(caller_heard(caller, "\"tag\":\"t5\""));
    for (int i = 0; i < 8; i++) {
        caller_ask_for(caller, "execResponse",
                       "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"head\",\"args\":[\"-c\","
                       "\"3000000\",\"/dev/zero\"],\"spoolBytes\":2000000,\"tag\":\"big%d\"}",
                       i);
    }
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"big0\",\"streamId\":1}");
    assert_true(caller_heard(caller, "\"offsets\":{\"stdout\":3000000,\"stderr\":0}"));
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"big7\",\"streamId\":2}");
    assert_true(caller_number(caller, "stdout") < 1200000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, caller_set_up, caller_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stream_tells_its_output_and_its_end),
        TEST(failure_to_start_leaves_no_stream),
        TEST(timeout_ends_a_stream),
        TEST(big_output_arrives_whole_before_its_end),
        TEST(reader_without_credit_stops_the_program_and_no_other),
        TEST(slow_reader_gets_all_that_the_program_left_in_its_pipe),
        TEST(output_is_replayed_from_an_offset),
        TEST(detached_process_goes_on_and_its_gap_is_told),
        TEST(several_readers_get_the_same),
        TEST(background_process_can_be_attached),
        TEST(what_is_left_running_is_told_by_the_end),
        TEST(stdin_flows_by_credit_and_ends_by_fin),
        TEST(stdin_of_one_without_is_swallowed),
        TEST(waiting_input_is_bounded),
        TEST(input_comes_as_base64_and_with_its_end),
        TEST(processes_are_listed),
        TEST(finished_processes_are_kept_within_bounds),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
