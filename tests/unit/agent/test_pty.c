/* Commands at a terminal of their own. */
#include "tests/unit/agent/caller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TERMINAL "\"stream\":true,\"streamId\":1,\"tag\":\"t\",\"pty\":{\"cols\":91,\"rows\":31}"
#define EXEC(line, more)                                                                           \
    "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"sh\",\"args\":[\"-c\",\"" line "\"]," TERMINAL more \
    "}"

static const char *output(struct caller *caller)
{
    return caller_output(caller, 1, STREAM_DATA);
}

static void type(struct caller *caller, const char *text)
{
    caller_send(caller, 1, STREAM_DATA, view_of(text));
}

static void a_command_has_a_terminal_of_its_size(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC("tty; stty size; echo $TERM; test -t 0 -a -t 1 -a -t 2 && echo all >&2;"
                            " echo x > /dev/tty; stat -c %%U:%%a $(tty); exit 5",
                            ",\"user\":\"nobody\""));
    assert_true(caller_heard(caller, "\"offsets\":{\"data\":0}"));
    caller_wait_text(caller, "\"exit\"");
    assert_non_null(strstr(output(caller), "/dev/pts/"));
    assert_non_null(
        strstr(output(caller), "31 91\r\nxterm-256color\r\nall\r\nx\r\nnobody:600\r\n"));
    assert_true(caller_heard(caller, "\"exitCode\":5,"));
    assert_int_equal(caller_stream(caller, 1)->bytes[STREAM_STDOUT].len, 0);
}

static void typed_bytes_arrive_and_the_window_changes(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC("trap 'stty size; exit 0' WINCH; echo ready; while read l; do echo got "
                            "$l; done; echo over; while :; do sleep 0.1; done",
                            ",\"env\":{\"TERM\":\"vt100\"}"));
    caller_wait_output(caller, 1, STREAM_DATA, "ready");
    type(caller, "h\xc3\xa9llo\n");
    caller_wait_output(caller, 1, STREAM_DATA, "got h\xc3\xa9llo");
    /* The end of a file is a character there. */
    caller_send(caller, 1, STREAM_FIN, VIEW(""));
    caller_wait_output(caller, 1, STREAM_DATA, "over");
    caller_ask(caller, "{\"id\":\"r\",\"type\":\"resize\",\"tag\":\"t\",\"cols\":120,\"rows\":40}");
    assert_true(caller_heard(caller, "resizeResponse"));
    caller_wait_output(caller, 1, STREAM_DATA, "40 120");
    caller_wait_text(caller, "\"exit\"");
}

static void interrupt_goes_to_the_foreground_job(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller,
               "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"bash\",\"args\":[\"--norc\",\"-i\"],"
               "\"env\":{\"PS1\":\"ready> \"}," TERMINAL "}");
    caller_wait_output(caller, 1, STREAM_DATA, "ready> ");
    assert_null(strstr(output(caller), "no job control"));
    /* Each says itself that it is the foreground job; the echo of what was typed says otherwise. */
    type(caller, "sh -c \"echo fi''rst; exec sleep 60\"; echo after=$?\n");
    caller_wait_output(caller, 1, STREAM_DATA, "first");
    type(caller, "\003");
    caller_wait_output(caller, 1, STREAM_DATA, "^C");
    type(caller, "sh -c \"echo sec''ond; exec sleep 61\"\n");
    caller_wait_output(caller, 1, STREAM_DATA, "second");
    type(caller, "\032");
    caller_wait_output(caller, 1, STREAM_DATA, "Stopped");
    type(caller, "bg; jobs; kill %1; exit 7\n");
    caller_wait_output(caller, 1, STREAM_DATA, "Running");
    type(caller, "exit 7\n");
    caller_wait_text(caller, "\"exitCode\":7,");
}

static void terminal_is_attached_again(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC("echo screen; read l; echo got $l", ""));
    caller_wait_output(caller, 1, STREAM_DATA, "screen");
    streams_on_lost(caller->streams);
    caller_forget(caller, 1);
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":1}");
    assert_true(caller_heard(caller, "\"offsets\":{\"data\":0},\"running\":true,\"pty\":true}"));
    caller_wait_output(caller, 1, STREAM_DATA, "screen");
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"t\",\"data\":\"back\\n\"}");
    caller_wait_output(caller, 1, STREAM_DATA, "got back");
    caller_wait_text(caller, "\"exit\"");
}

static void terminal_of_a_bad_size_is_refused(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"true\",\"stream\":true,"
                       "\"streamId\":1,\"pty\":{\"cols\":0,\"rows\":1001}}");
    assert_true(caller_heard(caller, "invalid_request"));
    assert_true(caller_heard(caller, "pty.rows"));
}

static void number_of_terminals_is_bounded(void **state)
{
    static const char terminal[] =
        "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"sleep\",\"args\":[\"60\"],\"background\":true,"
        "\"tag\":\"t%d\",\"pty\":{\"cols\":80,\"rows\":24}}";
    struct caller *caller = *state;
    for (int i = 0; i < PROCESS_TERMINALS_MAX; i++) {
        caller_ask(caller, terminal, i);
        assert_true(caller_heard(caller, "execResponse"));
    }
    caller_ask(caller, terminal, PROCESS_TERMINALS_MAX);
    assert_true(caller_heard(caller, "\"code\":\"busy\""));
    caller_ask_for(caller, "execResponse", "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"true\"}");
    caller_ask(caller, EXEC("exit", ""));
    assert_true(caller_heard(caller, "\"code\":\"busy\""));
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t7\",\"streamId\":1}");
    requests_handle(&caller->requests, CALLER_EPOCH,
                    VIEW("{\"id\":\"k\",\"type\":\"signal\",\"tag\":\"t7\",\"signal\":\"KILL\"}"));
    caller_wait_text(caller, "\"exit\"");
    /* One whose command has ended gives way, whatever still holds it. */
    caller_forget(caller, 1);
    caller_ask(caller, EXEC("trap '' HUP; sleep 60 & exit", ""));
    caller_wait_text(caller, "\"exit\"");
    caller_ask(caller, terminal, PROCESS_TERMINALS_MAX);
    assert_true(caller_heard(caller, "execResponse"));
}

static void locked_command_has_its_terminal_too(void **state)
{
    struct caller *caller = *state;
    caller->settings.locked = true;
    caller_ask(caller, EXEC("stty size && grep CapEff /proc/self/status && echo ok > /dev/tty",
                            ",\"user\":\"nobody\""));
    caller_wait_text(caller, "\"exit\"");
    assert_non_null(strstr(output(caller), "31 91\r\nCapEff:\t0000000000000000\r\nok\r\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, caller_set_up, caller_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_has_a_terminal_of_its_size), TEST(typed_bytes_arrive_and_the_window_changes),
        TEST(interrupt_goes_to_the_foreground_job), TEST(terminal_is_attached_again),
        TEST(terminal_of_a_bad_size_is_refused),    TEST(number_of_terminals_is_bounded),
        TEST(locked_command_has_its_terminal_too),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
