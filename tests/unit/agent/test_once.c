/* What was run for a request is not run again for its repeat. */
#include "tests/unit/agent/caller.h"

#include "sandbox-service/agent/process_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define EXEC(more, line)                                                                           \
    "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"sh\",\"args\":[\"-c\",\"" line "\"]," more "}"
#define ONCE(key) "\"once\":\"" key "\""
#define STREAMED(id)                                                                               \
    EXEC(ONCE("a") ",\"stdinOpen\":true,\"stream\":true,\"streamId\":" id,                         \
         "echo $$; read go; echo end")
#define LOOKUP(key) "{\"id\":\"l\",\"type\":\"lookup\",\"once\":\"" key "\"}"

static size_t count(const struct caller *caller, const char *part)
{
    size_t found = 0;
    for (const char *at = caller->texts.data; at != NULL && (at = strstr(at, part)) != NULL; at++) {
        found++;
    }
    return found;
}

static void repeat_gets_the_same_answer(void **state)
{
    struct caller *caller = *state;
    caller_ask_for(caller, "execResponse", EXEC(ONCE("a/1"), "echo $$; exit 3"));
    char first[256];
    (void)snprintf(first, sizeof first, "%s", caller->texts.data);
    caller_ask(caller, EXEC(ONCE("a/1"), "echo $$; exit 3"));
    assert_string_equal(caller->texts.data, first);
    assert_true(caller_heard(caller, "{\"id\":\"x\",\"type\":\"execResponse\",\"stdout\":\""));
    caller_ask(caller, LOOKUP("a/1"));
    assert_true(
        caller_heard(caller, "\"type\":\"lookupResponse\",\"state\":\"finished\",\"pid\":"));
    caller_ask(caller, LOOKUP("a/2"));
    assert_true(caller_heard(caller, "\"state\":\"unknown\"}"));
}

static void repeats_of_what_runs_wait_for_its_answer(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC(ONCE("a"), "sleep 0.3; echo $$"));
    caller_ask(caller, LOOKUP("a"));
    assert_true(caller_heard(caller, "\"state\":\"running\""));
    caller_ask(caller, EXEC(ONCE("a"), "sleep 0.3; echo $$"));
    for (int i = 1; i < ONCE_WAITERS_MAX; i++) {
        requests_handle(&caller->requests, CALLER_EPOCH,
                        VIEW(EXEC(ONCE("a"), "sleep 0.3; echo $$")));
    }
    assert_int_equal(count(caller, "execResponse"), 0);
    requests_handle(&caller->requests, CALLER_EPOCH, VIEW(EXEC(ONCE("a"), "sleep 0.3; echo $$")));
    assert_true(caller_heard(caller, "\"code\":\"busy\""));
    caller_wait_text(caller, "execResponse");
    assert_int_equal(count(caller, "execResponse"), ONCE_WAITERS_MAX + 1);
    long long pid = caller_number(caller, "durationMs");
    assert_true(pid >= 290);
}

static void what_did_not_start_is_not_remembered(void **state)
{
    struct caller *caller = *state;
    for (int i = 0; i < 2; i++) {
        caller_ask(caller, "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"no-such\"," ONCE("a") "}");
        assert_true(caller_heard(caller, "command_not_found"));
    }
    caller_ask(caller, LOOKUP("a"));
    assert_true(caller_heard(caller, "\"state\":\"unknown\""));
}

static void long_answers_are_not_kept(void **state)
{
    struct caller *caller = *state;
    caller_ask_for(caller, "execResponse", EXEC(ONCE("a"), "seq 1 100000"));
    caller_ask(caller, EXEC(ONCE("a"), "seq 1 100000"));
    assert_true(caller_heard(caller, "\"code\":\"answer_not_kept\""));
}

static void repeat_of_a_stream_is_attached(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, STREAMED("1"));
    caller_wait_output(caller, 1, STREAM_STDOUT, "\n");
    caller_ask(caller, STREAMED("2"));
    assert_true(caller_heard(caller, "\"type\":\"execResponse\",\"streamId\":2,\"pid\":"));
    assert_string_equal(caller_output(caller, 2, STREAM_STDOUT),
                        caller_output(caller, 1, STREAM_STDOUT));
    caller_send(caller, 2, STREAM_DATA, VIEW("go\n"));
    caller_wait_text(caller, "\"type\":\"exit\",\"streamId\":2,");
    caller_forget(caller, 3);
    caller_ask(caller, STREAMED("3"));
    assert_true(caller_heard(caller, "\"type\":\"exit\",\"streamId\":3,"));
    assert_string_equal(caller_output(caller, 3, STREAM_STDOUT),
                        caller_output(caller, 1, STREAM_STDOUT));
    caller_ask(caller, EXEC(ONCE("a") ",\"stdinOpen\":true", "echo $$; read go; echo end"));
    assert_true(caller_heard(caller, "\"code\":\"answer_not_kept\""));
}

static void output_without_an_answer_is_not_kept_for_one(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, STREAMED("1"));
    caller_ask(caller, "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"echo $$; sleep 30\","
                       "\"session\":\"s\",\"stream\":true,\"streamId\":2," ONCE("b") "}");
    caller_wait_output(caller, 1, STREAM_STDOUT, "\n");
    caller_wait_output(caller, 2, STREAM_STDOUT, "\n");
    assert_int_equal(caller->processes->memory, 0);
}

static void another_request_with_the_key_is_refused(void **state)
{
    static const char *const others[] = {
        EXEC(ONCE("a"), "echo b"),
        EXEC(ONCE("a") ",\"env\":{\"A\":\"b\"}", "echo a"),
        EXEC(ONCE("a") ",\"stdin\":\"\"", "echo a"),
        EXEC(ONCE("a") ",\"timeoutMs\":1000", "echo a"),
        EXEC(ONCE("a") ",\"session\":\"s\"", "echo a"),
    };
    struct caller *caller = *state;
    caller_ask_for(caller, "execResponse", EXEC(ONCE("a"), "echo a"));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        caller_ask(caller, "%s", others[i]);
        assert_true(caller_heard(caller, "\"code\":\"idempotency_key_reused\""));
    }
    caller_ask(caller, "{\"once\":\"a\",\"args\":[\"-c\",\"echo \\u0061\"],\"type\":\"exec\","
                       "\"strictEof\":false,\"cmd\":\"sh\",\"id\":\"y\",\"more\":1}");
    assert_true(caller_heard(caller, "{\"id\":\"y\",\"type\":\"execResponse\",\"stdout\":\"a\\n"));
    caller_ask(caller, EXEC(ONCE("a") ",\"stream\":true,\"streamId\":1", "echo a"));
    caller_wait_output(caller, 1, STREAM_STDOUT, "a\n");
}

static bool is_finished(void *arg)
{
    caller_ask(arg, LOOKUP("a"));
    return caller_heard(arg, "\"state\":\"finished\"");
}

static void background_command_is_started_once(void **state)
{
    struct caller *caller = *state;
    caller_ask(caller, EXEC(ONCE("a") ",\"background\":true", "exec sleep 30"));
    long long pid = caller_number(caller, "pid");
    caller_ask(caller, EXEC(ONCE("a") ",\"background\":true", "exec sleep 30"));
    assert_int_equal(caller_number(caller, "pid"), pid);
    caller_ask(caller, LOOKUP("a"));
    assert_true(caller_heard(caller, "\"state\":\"running\""));
    caller_ask(caller, "{\"id\":\"s\",\"type\":\"signal\",\"pid\":%lld,\"signal\":\"KILL\"}", pid);
    turn_until_true(caller->loop, is_finished, caller);
}

static void number_of_those_remembered_is_bounded(void **state)
{
    struct caller *caller = *state;
    struct err err = {0};
    char key[16];
    for (int i = 0; i < ONCES_MAX; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        assert_non_null(once_begin(caller->onces, view_of(key), 1, &err));
    }
    assert_null(once_begin(caller->onces, VIEW("more"), 1, &err));
    assert_string_equal(err.reason, "busy");
    struct once *first = once_find(caller->onces, VIEW("0"));
    once_keep_answer(first, VIEW("\"a\":1"));
    once_end(first);
    once_end(once_find(caller->onces, VIEW("1")));
    assert_non_null(once_begin(caller->onces, VIEW("more"), 1, &err));
    assert_null(once_find(caller->onces, VIEW("0")));
    assert_non_null(once_find(caller->onces, VIEW("1")));
}

static void answers_that_are_kept_are_bounded(void **state)
{
    struct caller *caller = *state;
    static char answer[ONCE_ANSWER_MAX];
    struct err err = {0};
    char key[16];
    memset(answer, 'x', sizeof answer);
    for (int i = 0; i < 2 * ONCE_ANSWERS_BYTES_MAX / ONCE_ANSWER_MAX; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        struct once *once = once_begin(caller->onces, view_of(key), 1, &err);
        once_keep_answer(once, (struct view){answer, sizeof answer});
        once_end(once);
    }
    assert_int_equal(once_answer(once_find(caller->onces, VIEW("0"))).len, 0);
    assert_int_equal(once_answer(once_find(caller->onces, view_of(key))).len, ONCE_ANSWER_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, caller_set_up, caller_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(repeat_gets_the_same_answer),
        TEST(repeats_of_what_runs_wait_for_its_answer),
        TEST(what_did_not_start_is_not_remembered),
        TEST(long_answers_are_not_kept),
        TEST(repeat_of_a_stream_is_attached),
        TEST(output_without_an_answer_is_not_kept_for_one),
        TEST(background_command_is_started_once),
        TEST(another_request_with_the_key_is_refused),
        TEST(number_of_those_remembered_is_bounded),
        TEST(answers_that_are_kept_are_bounded),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
