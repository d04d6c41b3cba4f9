/* Lines that share one shell. */
#include "tests/unit/agent/caller.h"

#include "sandbox-service/agent/process_table.h"
#include "sandbox-service/agent/session_script.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LINE(name, line, more)                                                                     \
    "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"" line "\",\"session\":\"" name "\"" more "}"

static void run(struct caller *caller, const char *message, const char *part)
{
    caller_ask_for(caller, "\"id\":\"x\"", "%s", message);
    if (!caller_heard(caller, part)) {
        fail_msg("%s: %s, not %s", message, caller->texts.data, part);
    }
}

static void shell_keeps_what_lines_change(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "cd /usr; export A=1; b='x y'; f() { echo f $1; }", ""),
        "\"stdout\":\"\",\"stderr\":\"\",\"exitCode\":0,\"signal\":null,\"reason\":\"exited\"");
    run(caller, LINE("s", "pwd; echo $A $b; f 2; sh -c 'echo $A'", ""),
        "\"stdout\":\"/usr\\n1 x y\\nf 2\\n1\\n\"");
    run(caller, LINE("other", "pwd; echo $A", ""), "\"stdout\":\"/tmp\\n\\n\"");
    run(caller, LINE("s", "echo err >&2; printf nothing; (exit 4)", ""),
        "\"stdout\":\"nothing\",\"stderr\":\"err\\n\",\"exitCode\":4,");
    run(caller, LINE("s", "pwd; echo $C; cat", ",\"cwd\":\"/etc\",\"env\":{\"C\":\"it's\"}"),
        "\"stdout\":\"/etc\\nit's\\n\"");
    run(caller, LINE("s", "pwd; echo $C", ""), "\"stdout\":\"/etc\\nit's\\n\"");
    run(caller, LINE("s", "echo x", ",\"cwd\":\"/no/such\""), "\"exitCode\":1,");
    assert_false(caller_heard(caller, "sessionRestarted"));
}

static void bad_syntax_and_quotes_do_no_harm(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "a=1; echo '}' \\\"'\\\"; echo done", ""), "\"exitCode\":");
    run(caller, LINE("s", "for", ""), "\"exitCode\":");
    run(caller, LINE("s", "echo 'it'; echo \\\"$a\\\"\\necho two # comment", ""),
        "\"stdout\":\"it\\n1\\ntwo\\n\"");
    run(caller, LINE("s", "exec >/dev/null; echo lost", ""), "\"stdout\":\"\",");
    run(caller, LINE("s", "echo kept >&2", ""), "\"stdout\":\"\",\"stderr\":\"kept\\n\"");
    assert_false(caller_heard(caller, "sessionRestarted"));
}

static void lines_wait_for_each_other(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, LINE("s", "n=0; sleep 0.2; echo first", ""));
    for (int i = 0; i < SESSION_QUEUE_MAX; i++) {
        requests_handle(&caller->requests, CALLER_EPOCH,
                        VIEW(LINE("s", "n=$((n+1)); echo n=$n", "")));
    }
    assert_int_equal(caller->texts.len, 0);
    requests_handle(&caller->requests, CALLER_EPOCH, VIEW(LINE("s", "true", "")));
    assert_true(caller_heard(caller, "\"code\":\"busy\""));
    caller_wait_text(caller, "\"stdout\":\"n=64\\n\"");
    assert_true(strstr(caller->texts.data, "first") < strstr(caller->texts.data, "n=1\\n"));
    assert_true(strstr(caller->texts.data, "n=1\\n") < strstr(caller->texts.data, "n=2\\n"));
}

static void shell_that_ends_is_replaced(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "a=1; echo bye; exit 3", ""),
        "\"stdout\":\"bye\\n\",\"stderr\":\"\",\"exitCode\":3,");
    run(caller, LINE("s", "echo $a.", ""), "\"stdout\":\".\\n\"");
    assert_true(caller_heard(caller, "\"sessionRestarted\":true"));
    run(caller, LINE("s", "kill -9 $$", ""), "\"signal\":\"SIGKILL\",\"reason\":\"signaled\"");
    run(caller, LINE("s", "true", ""), "\"sessionRestarted\":true");
    run(caller, LINE("s", "true", ""), "\"exitCode\":0");
    assert_false(caller_heard(caller, "sessionRestarted"));
}

static void timeout_ends_the_line_and_not_the_shell(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "a=1", ""), "\"exitCode\":0");
    run(caller, LINE("s", "echo now; sleep 60", ",\"timeoutMs\":1000"),
        "\"stdout\":\"now\\n\",\"stderr\":\"");
    assert_true(caller_heard(caller, "\"exitCode\":137,\"signal\":null,\"reason\":\"timeout\""));
    run(caller, LINE("s", "echo a=$a", ""), "\"stdout\":\"a=1\\n\"");
}

static void shell_that_does_not_come_back_is_killed(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "while :; do :; done", ",\"timeoutMs\":100"),
        "\"exitCode\":null,\"signal\":\"SIGKILL\",\"reason\":\"timeout\"");
    run(caller, LINE("s", "true", ""), "\"sessionRestarted\":true");
}

static void line_may_stream(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "a=1", ""), "\"exitCode\":0");
    caller_stream(caller, 1)->stalled = true;
    caller_ask(caller, LINE("s", "echo err >&2; seq 1 100000; (exit 5)",
                            ",\"stream\":true,\"streamId\":1"));
    assert_true(caller_heard(caller, "\"streamId\":1,\"pid\":"));
    turn_for(caller->loop, 300);
    assert_true(caller_stream(caller, 1)->count <= STREAM_WINDOW_INITIAL);
    assert_false(caller_heard(caller, "\"exit\""));
    caller_stream(caller, 1)->stalled = false;
    caller_grant(caller, 1, STREAM_WINDOW_INITIAL);
    caller_wait_text(caller, "\"exitCode\":5,\"signal\":null,\"reason\":\"exited\"");
    assert_int_equal(caller_stream(caller, 1)->bytes[STREAM_STDOUT].len, 588895);
    assert_string_equal(caller_output(caller, 1, STREAM_STDERR), "err\n");
    assert_null(memchr(caller_output(caller, 1, STREAM_STDOUT), '\0', 588895));
    /* One that nobody hears goes on. */
    caller_forget(caller, 2);
    caller_ask(caller,
               LINE("s", "sleep 0.2; seq 1 100000; a=2", ",\"stream\":true,\"streamId\":2"));
    caller_send(caller, 2, STREAM_RESET, VIEW(""));
    run(caller, LINE("s", "echo $a", ""), "\"stdout\":\"2\\n\"");
}

static void output_that_looks_like_a_mark_is_output(void **state)
{
    struct caller *caller = *state;
    run(caller,
        LINE("s", "printf '\\\\000insien:0123\\\\000\\\\000insien:'",
             ",\"outputEncoding\":\"base64\""),
        "\"stdout\":\"AGluc2llbjowMTIzAABpbnNpZW46\"");
}

static void background_jobs_keep_nobody_waiting(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "sleep 60 & echo $!", ""), "\"exitCode\":0");
    run(caller, LINE("s", "jobs %1 >/dev/null && echo there; kill %1", ""),
        "\"stdout\":\"there\\n\"");
}

static void line_holds_nothing_open_by_itself(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "sleep 5 & exit 3", ""), "\"exitCode\":3");
    assert_true(caller_heard(caller, "\"outputOpen\":true"));
    assert_int_equal(caller->processes->drain_count, 1); /* the shell's */
}

static void what_does_not_go_with_a_session_is_refused(void **state)
{
    static const char *const more[] = {",\"args\":[\"a\"]", ",\"background\":true",
                                       ",\"stdin\":\"\"", ",\"pty\":{\"cols\":1,\"rows\":1}",
                                       ",\"stdinOpen\":true"};
    struct caller *caller = *state;
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        caller_ask(caller, LINE("s", "true", "%s"), more[i]);
        assert_true(caller_heard(caller, "\"code\":\"invalid_request\""));
    }
    caller_ask(caller, LINE("a b", "true", ""));
    assert_true(caller_heard(caller, "\"code\":\"invalid_request\""));
    run(caller, LINE("s", "id -un", ",\"user\":\"nobody\""), "\"stdout\":\"nobody\\n\"");
    run(caller, LINE("s", "true", ",\"user\":\"root\""), "\"code\":\"session_user\"");
}

static void closed_session_is_forgotten(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, "{\"id\":\"c\",\"type\":\"closeSession\",\"session\":\"s\"}");
    assert_true(caller_heard(caller, "session_not_found"));
    run(caller, LINE("s", "a=1", ""), "\"exitCode\":0");
    caller_ask(caller, LINE("s", "sleep 60", ""));
    requests_handle(&caller->requests, CALLER_EPOCH, VIEW(LINE("s", "echo never", "")));
    requests_handle(&caller->requests, CALLER_EPOCH,
                    VIEW("{\"id\":\"c\",\"type\":\"closeSession\",\"session\":\"s\"}"));
    assert_true(caller_heard(caller, "\"type\":\"closeSessionResponse\",\"session\":\"s\"}"));
    assert_true(caller_heard(caller, "\"code\":\"session_closed\""));
    caller_wait_text(caller, "\"signal\":\"SIGKILL\"");
    run(caller, LINE("s", "echo .$a", ""), "\"stdout\":\".\\n\"");
    assert_false(caller_heard(caller, "sessionRestarted"));
    caller_ask(caller, "{\"id\":\"p\",\"type\":\"ps\"}");
    assert_true(caller_heard(caller, "\"session\":\"s\""));
}

static bool has_ended(void *arg)
{
    caller_ask(arg, "{\"id\":\"p\",\"type\":\"ps\"}");
    return caller_heard(arg, "\"running\":false");
}

static void nobody_else_speaks_with_the_shell(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "echo $$", ""), "\"exitCode\":0");
    long long pid = strtoll(strstr(caller->texts.data, "\"stdout\":\"") + 10, NULL, 10);
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"pid\":%lld,\"data\":\"\"}", pid);
    assert_true(caller_heard(caller, "\"code\":\"in_session\""));
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"closeStdin\",\"pid\":%lld}", pid);
    assert_true(caller_heard(caller, "\"code\":\"in_session\""));
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"signal\",\"pid\":%lld,\"signal\":1}", pid);
    assert_true(caller_heard(caller, "signalResponse"));
    turn_until_true(caller->loop, has_ended, caller);
    run(caller, LINE("s", "true", ""), "\"sessionRestarted\":true");
}

static void image_without_bash_has_sessions_too(void **state)
{
    struct caller *caller = *state;
    char folder[] = "/tmp/insien-test-session-XXXXXX";
    char link[64];
    struct err err;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(link, sizeof link, "%s/sh", folder);
    assert_int_equal(symlink("/bin/sh", link), 0);
    assert_true(environment_set(&caller->settings.env, VIEW("PATH"), view_of(folder), &err));
    run(caller, LINE("s", "a=1; cd /usr; echo $0; (exit 3)", ""), "\"stdout\":\"sh\\n\",");
    assert_true(caller_heard(caller, "\"exitCode\":3,"));
    run(caller, LINE("s", "pwd; echo $a", ""), "\"stdout\":\"/usr\\n1\\n\"");
    run(caller, LINE("s", "while :; do :; done", ",\"timeoutMs\":100"), "\"reason\":\"timeout\"");
    run(caller, LINE("s", "for", ""), "\"exitCode\":2");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void repeat_of_a_line_is_not_run_again(void **state)
{
    struct caller *caller = *state;
    run(caller, LINE("s", "n=$((n+1)); echo n=$n", ",\"once\":\"k\""), "\"stdout\":\"n=1\\n\"");
    run(caller, LINE("s", "n=$((n+1)); echo n=$n", ",\"once\":\"k\""), "\"stdout\":\"n=1\\n\"");
    run(caller, LINE("s", "echo n=$n", ""), "\"stdout\":\"n=1\\n\"");
}

static void line_is_attached_again(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, LINE("s",
                            "trap go=1 USR1; echo one; while [ -z $go ]; do sleep 0.02; done;"
                            "echo two; (exit 4)",
                            ",\"stream\":true,\"streamId\":1,\"tag\":\"t\""));
    long long shell = caller_number(caller, "pid");
    caller_wait_output(caller, 1, STREAM_STDOUT, "one\n");
    streams_on_lost(caller->streams);
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":2}");
    assert_true(caller_heard(caller, "\"tag\":\"t\",\"offsets\":{\"stdout\":0,\"stderr\":0},"
                                     "\"running\":true,\"pty\":false}"));
    caller_ask(caller,
               "{\"id\":\"a\",\"type\":\"attach\",\"pid\":%lld,\"streamId\":3,\"offset\":4}",
               shell);
    assert_true(caller_heard(caller, "\"offsets\":{\"stdout\":4,\"stderr\":0}"));
    assert_int_equal(kill((pid_t)shell, SIGUSR1), 0);
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":3,");
    assert_string_equal(caller_output(caller, 2, STREAM_STDOUT), "one\ntwo\n");
    assert_string_equal(caller_output(caller, 3, STREAM_STDOUT), "two\n");
    assert_true(caller_heard(caller, "\"exitCode\":4,\"signal\":null,\"reason\":\"exited\""));
    /* After its end, while the shell runs others. */
    run(caller, LINE("s", "echo three", ""), "\"stdout\":\"three\\n\"");
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":4}");
    assert_true(caller_heard(caller, "\"running\":false"));
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":4,");
    assert_string_equal(caller_output(caller, 4, STREAM_STDOUT), "one\ntwo\n");
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"pid\":%lld,\"streamId\":5}", shell);
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":5,");
    assert_string_equal(caller_output(caller, 5, STREAM_STDOUT), "three\n");
    /* It is no process by itself. */
    caller_ask(caller, "{\"id\":\"k\",\"type\":\"signal\",\"tag\":\"t\",\"signal\":9}");
    assert_true(caller_heard(caller, "\"code\":\"in_session\""));
    caller_ask(caller, "{\"id\":\"i\",\"type\":\"input\",\"tag\":\"t\",\"data\":\"\"}");
    assert_true(caller_heard(caller, "\"code\":\"in_session\""));
    caller_ask(caller, "{\"id\":\"p\",\"type\":\"ps\"}");
    assert_null(strstr(caller->texts.data, "\"tag\":\"t\""));
}

static void repeat_of_a_streamed_line_is_attached(void **state)
{
    static const char line[] = LINE("s", "echo $$; sleep 0.3; echo end",
                                    ",\"once\":\"k\",\"stream\":true,\"streamId\":%d");
    struct caller *caller = *state;
    caller_ask(caller, line, 1);
    long long shell = caller_number(caller, "pid");
    streams_on_lost(caller->streams);
    caller_ask(caller, line, 2);
    assert_true(caller_heard(caller, "\"type\":\"execResponse\",\"streamId\":2,\"pid\":"));
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":2,");
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%lld\nend\n", shell);
    assert_string_equal(caller_output(caller, 2, STREAM_STDOUT), expected);
    caller_ask(caller, line, 3);
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":3,");
    assert_string_equal(caller_output(caller, 3, STREAM_STDOUT), expected);
    caller_ask(caller, "{\"id\":\"l\",\"type\":\"lookup\",\"once\":\"k\"}");
    assert_true(caller_heard(caller, "\"state\":\"finished\",\"pid\":"));
}

static void line_that_waits_is_attached_too(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, LINE("s", "sleep 0.3", ""));
    caller_ask(caller, LINE("s", "echo now", ",\"tag\":\"t\""));
    caller_ask(caller, LINE("s", "echo never", ",\"tag\":\"t\""));
    assert_true(caller_heard(caller, "\"code\":\"tag_in_use\""));
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"t\",\"streamId\":1}");
    assert_true(caller_heard(caller, "\"running\":true"));
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":1,");
    assert_string_equal(caller_output(caller, 1, STREAM_STDOUT), "now\n");
    assert_true(caller_heard(caller, "\"stdout\":\"now\\n\""));
    /* What never runs has no exit. */
    caller_ask(caller, LINE("s", "sleep 60", ""));
    caller_ask(caller, LINE("s", "true", ",\"tag\":\"u\",\"stream\":true,\"streamId\":2"));
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"u\",\"streamId\":3}");
    caller_ask(caller, "{\"id\":\"c\",\"type\":\"closeSession\",\"session\":\"s\"}");
    assert_true(caller_heard(caller, "\"code\":\"session_closed\""));
    assert_true(caller_stream(caller, 3)->reset);
    assert_string_equal(caller_stream(caller, 3)->code, "session_closed");
    caller_ask(caller, "{\"id\":\"a\",\"type\":\"attach\",\"tag\":\"u\",\"streamId\":4}");
    assert_true(caller_heard(caller, "\"code\":\"process_not_found\""));
}

static void reader_that_stalls_pauses_the_line(void **state)
{
    struct caller *caller = *state;
    caller_stream(caller, 1)->stalled = true;
    caller_stream(caller, 1)->discards = true;
    caller_ask(caller, LINE("s", "seq 1 1000000; echo end >&2; a=6",
                            ",\"stream\":true,\"streamId\":1,\"spoolBytes\":65536"));
    requests_handle(&caller->requests, CALLER_EPOCH, VIEW(LINE("s", "echo $a", "")));
    turn_for(caller->loop, 500);
    assert_true(caller_stream(caller, 1)->count <= STREAM_WINDOW_INITIAL);
    assert_false(caller_heard(caller, "\"stdout\":\"6"));
    caller_stream(caller, 1)->stalled = false;
    caller_grant(caller, 1, STREAM_WINDOW_INITIAL);
    caller_wait_text(caller, "\"stdout\":\"6\\n\"");
    caller_wait_text(caller, "\"exit\"");
    assert_int_equal(caller_stream(caller, 1)->count, 6888896 + 4);
}

static bool file_exists(void *arg)
{
    return access(arg, F_OK) == 0;
}

static void answers_wait_while_they_are_held(void **state)
{
    struct caller *caller = *state;
    char mark[64];
    processes_hold(caller->processes, true);
    caller_ask(caller, LINE("s", "echo one", ""));
    (void)snprintf(mark, sizeof mark, "/tmp/insien-test-held-%d", getpid());
    caller_ask(caller, LINE("s", "echo two; touch %s", ""), mark);
    turn_until_true(caller->loop, file_exists, mark);
    assert_int_equal(unlink(mark), 0);
    turn_for(caller->loop, 100);
    assert_false(caller_heard(caller, "execResponse"));
    processes_hold(caller->processes, false);
    caller_wait_text(caller, "\"stdout\":\"two\\n\"");
    const char *first = strstr(caller->texts.data, "\"stdout\":\"one\\n\"");
    assert_non_null(first);
    assert_non_null(strstr(first, "\"stdout\":\"two\\n\""));
}

static void number_of_sessions_is_bounded(void **state)
{
    struct caller *caller = *state;
    for (int i = 0; i < SESSIONS_MAX; i++) {
        caller_ask_for(caller, "execResponse", LINE("s%d", "true", ""), i);
    }
    caller_ask(caller, LINE("more", "true", ""));
    assert_true(caller_heard(caller, "\"code\":\"busy\""));
    run(caller, LINE("s3", "exit", ""), "\"exitCode\":0");
    run(caller, LINE("more", "true", ""), "\"exitCode\":0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, caller_set_up, caller_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shell_keeps_what_lines_change),
        TEST(bad_syntax_and_quotes_do_no_harm),
        TEST(lines_wait_for_each_other),
        TEST(shell_that_ends_is_replaced),
        TEST(timeout_ends_the_line_and_not_the_shell),
        TEST(shell_that_does_not_come_back_is_killed),
        TEST(line_may_stream),
        TEST(output_that_looks_like_a_mark_is_output),
        TEST(background_jobs_keep_nobody_waiting),
        TEST(line_holds_nothing_open_by_itself),
        TEST(what_does_not_go_with_a_session_is_refused),
        TEST(closed_session_is_forgotten),
        TEST(nobody_else_speaks_with_the_shell),
        TEST(image_without_bash_has_sessions_too),
        TEST(line_is_attached_again),
        TEST(repeat_of_a_streamed_line_is_attached),
        TEST(line_that_waits_is_attached_too),
        TEST(reader_that_stalls_pauses_the_line),
        TEST(answers_wait_while_they_are_held),
        TEST(repeat_of_a_line_is_not_run_again),
        TEST(number_of_sessions_is_bounded),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
