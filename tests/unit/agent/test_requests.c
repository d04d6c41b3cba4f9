/* Messages in, answers out; what they do is real. Takes root, as starting programs does. */
#include "sandbox-service/agent/load.h"
#include "sandbox-service/agent/requests.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWER_SIZE = 16 * 1024, EPOCH = 7 };

struct fixture {
    struct loop *loop;
    struct settings settings;
    struct processes *processes;
    struct load load;
    struct requests requests;
    bool answered;
    char answer[ANSWER_SIZE];
    size_t answer_len;
    char token[64];
};

static void on_answer(void *arg, uint64_t epoch, struct view text)
{
    struct fixture *fixture = arg;
    assert_int_equal(epoch, EPOCH);
    assert_false(fixture->answered);
    fixture->answered = true;
    fixture->answer_len = text.len;
    size_t len = text.len < ANSWER_SIZE ? text.len : ANSWER_SIZE - 1;
    memcpy(fixture->answer, text.ptr, len);
    fixture->answer[len] = '\0';
}

static bool set_token(void *arg, struct view token)
{
    struct fixture *fixture = arg;
    return token.len > 0 && view_copy(token, fixture->token, sizeof fixture->token);
}

/* What the answer to text is; "" while there is none. */
static const char *ask(struct fixture *fixture, const char *text)
{
    fixture->answered = false;
    fixture->answer[0] = '\0';
    requests_handle(&fixture->requests, EPOCH, view_of(text));
    return fixture->answer;
}

static const char *ask_and_wait(struct fixture *fixture, const char *text)
{
    (void)ask(fixture, text);
    turn_until(fixture->loop, &fixture->answered);
    return fixture->answer;
}

static void configure(struct fixture *fixture)
{
    assert_string_equal(
        ask(fixture,
            "{\"id\":\"c\",\"type\":\"configure\",\"token\":\"next\",\"env\":{\"E\":\"1\"},"
            "\"profile\":\"sudo\",\"workDir\":\"/tmp\",\"user\":\"root\"}"),
        "{\"id\":\"c\",\"type\":\"configureResponse\"}");
}

static int set_up(void **state)
{
    static struct fixture fixture;
    static char path[] = "PATH=/usr/bin:/bin";
    static char *const entries[] = {path, NULL};
    struct err err;
    fixture = (struct fixture){.loop = loop_new(&err)};
    assert_non_null(fixture.loop);
    assert_true(settings_open(&fixture.settings, entries, &err));
    fixture.processes = processes_new(fixture.loop, &err);
    assert_non_null(fixture.processes);
    fixture.requests = (struct requests){
        .settings = &fixture.settings,
        .processes = fixture.processes,
        .load = &fixture.load,
        .send = on_answer,
        .set_token = set_token,
        .arg = &fixture,
    };
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    processes_free(fixture->processes);
    settings_close(&fixture->settings);
    loop_free(fixture->loop);
    return 0;
}

static void expect_code(struct fixture *fixture, const char *text, const char *code)
{
    char member[64];
    (void)snprintf(member, sizeof member, "\"code\":\"%s\"}", code);
    const char *answer = ask(fixture, text);
    if (strstr(answer, "\"type\":\"error\"") == NULL || strstr(answer, member) == NULL) {
        fail_msg("%s: %s, not %s", text, answer, code);
    }
}

static void usage_is_told(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    const char *answer = ask(fixture, "{\"id\":\"s\",\"type\":\"stats\"}");
    assert_non_null(strstr(answer, "{\"id\":\"s\",\"type\":\"statsResponse\",\"atMs\":"));
    assert_non_null(strstr(answer, "\"memory\":{"));
    assert_non_null(strstr(answer, "\"network\":{\"receivedBytes\":"));
}

static void a_command_is_measured_when_asked_to_be(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    const char *answer =
        ask_and_wait(fixture, "{\"id\":\"m\",\"type\":\"exec\",\"cmd\":\"true\",\"measure\":true}");
    assert_non_null(strstr(answer, "\"cpuMs\":"));
    const char *peak = strstr(answer, "\"peakMemoryBytes\":");
    assert_non_null(peak);
    assert_true(strtoll(strchr(peak, ':') + 1, NULL, 10) >= 4096);
    answer = ask_and_wait(fixture, "{\"id\":\"n\",\"type\":\"exec\",\"cmd\":\"true\"}");
    assert_null(strstr(answer, "cpuMs"));
}

static void what_is_no_request_is_told(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    expect_code(fixture, "", "invalid_message");
    expect_code(fixture, "[1]", "invalid_message");
    expect_code(fixture, "{\"type\":\"exec\",\"cmd\":\"true\"}", "invalid_message");
    assert_non_null(strstr(fixture->answer, "\"id\":null"));
    expect_code(fixture, "{\"id\":1,\"type\":\"exec\",\"cmd\":\"true\"}", "invalid_message");
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"frob\"}", "unknown_type");
    assert_non_null(strstr(fixture->answer, "\"id\":\"a\""));
    expect_code(fixture, "{\"id\":\"a\"}", "unknown_type");
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"exec\"}", "invalid_request");
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"\",\"args\":\"x\"}",
                "invalid_request");
    assert_non_null(strstr(fixture->answer, "cmd: "));
    assert_non_null(strstr(fixture->answer, "; args: "));
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"read\",\"path\":\"\"}", "invalid_path");
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"read\",\"path\":\"x\\u0000\"}", "invalid_path");
    expect_code(fixture,
                "{\"id\":\"a\",\"type\":\"write\",\"path\":\"x\",\"content\":\"?\","
                "\"encoding\":\"base64\"}",
                "invalid_request");
}

static void configure_comes_first(void **state)
{
    struct fixture *fixture = *state;
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"true\"}", "not_configured");
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"configure\",\"token\":\"t\",\"profile\":\"x\"}",
                "invalid_request");
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"true\"}", "not_configured");
    configure(fixture);
    assert_string_equal(fixture->token, "next");
}

static void a_command_is_answered_with_all_its_fields(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    const char *answer = ask_and_wait(
        fixture,
        "{\"id\":\"x1\",\"type\":\"exec\",\"cmd\":\"sh\",\"user\":\"root\",\"cwd\":\"/\","
        "\"args\":[\"-c\",\"printf '%s\\\\377' $E$F$HOME; exit 4\"],\"env\":{\"F\":\"2\"}}");
    assert_non_null(strstr(answer, "{\"id\":\"x1\",\"type\":\"execResponse\","
                                   "\"stdout\":\"12/root\xef\xbf\xbd\",\"stderr\":\"\","
                                   "\"exitCode\":4,\"signal\":null,\"reason\":\"exited\","
                                   "\"durationMs\":"));
    assert_non_null(strstr(answer, ",\"truncated\":false}"));
    answer =
        ask_and_wait(fixture, "{\"id\":\"x2\",\"type\":\"exec\",\"cmd\":\"sleep\",\"args\":[\"9\"],"
                              "\"user\":\"root\",\"timeoutMs\":50,\"outputEncoding\":\"base64\"}");
    assert_non_null(strstr(answer, "\"outputEncoding\":\"base64\",\"exitCode\":null,"
                                   "\"signal\":\"SIGKILL\",\"reason\":\"timeout\""));
}

static void a_cut_character_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    const char *answer = ask_and_wait(
        fixture, "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"printf\",\"user\":\"root\","
                 "\"args\":[\"a\xc3\xa9\"],\"maxOutputBytes\":2}");
    assert_non_null(strstr(answer, "\"stdout\":\"a\","));
    assert_non_null(strstr(answer, "\"truncated\":true"));
}

static void an_answer_too_long_for_a_message_loses_output(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    const char *answer = ask_and_wait(
        fixture, "{\"id\":\"x\",\"type\":\"exec\",\"cmd\":\"head\",\"user\":\"root\","
                 "\"args\":[\"-c\",\"4194304\",\"/dev/zero\"],\"maxOutputBytes\":4194304}");
    assert_non_null(strstr(answer, "\"stdout\":\"\\u0000"));
    assert_true(fixture->answer_len <= AGENT_MESSAGE_MAX);
    assert_true(fixture->answer_len > AGENT_MESSAGE_MAX / 4);
}

static void a_background_command_is_answered_at_once(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    const char *answer = ask(fixture, "{\"id\":\"b\",\"type\":\"exec\",\"cmd\":\"sleep\","
                                      "\"args\":[\"9\"],\"background\":true,\"user\":\"root\"}");
    assert_non_null(strstr(answer, "\"pid\":"));
    assert_non_null(strstr(answer, "\"background\":true,\"exitCode\":null,\"stdout\":\"\","));
}

static void failures_to_start_are_told(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"no-such\",\"user\":\"root\"}",
                "command_not_found");
    expect_code(fixture, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"true\",\"user\":\"no-such\"}",
                "user_not_found");
    expect_code(fixture,
                "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"true\",\"user\":\"root\","
                "\"cwd\":\"/no/such\"}",
                "cwd_not_found");
}

static void files_go_there_and_back(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    (void)unlink("/tmp/insien-test-request");
    assert_string_equal(
        ask(fixture, "{\"id\":\"w\",\"type\":\"write\",\"path\":\"/tmp/insien-test-request\","
                     "\"content\":\"a\\u0000\xc3\xa9\",\"user\":\"root\"}"),
        "{\"id\":\"w\",\"type\":\"writeResponse\",\"success\":true,"
        "\"path\":\"/tmp/insien-test-request\"}");
    assert_string_equal(ask(fixture,
                            "{\"id\":\"r\",\"type\":\"read\",\"path\":\"/tmp/insien-test-request\","
                            "\"user\":\"root\"}"),
                        "{\"id\":\"r\",\"type\":\"readResponse\",\"content\":\"a\\u0000\xc3\xa9\","
                        "\"path\":\"/tmp/insien-test-request\"}");
    assert_non_null(
        strstr(ask(fixture, "{\"id\":\"r\",\"type\":\"read\",\"path\":\"/tmp/insien-test-request\","
                            "\"encoding\":\"base64\",\"user\":\"root\"}"),
               "\"content\":\"YQDDqQ==\",\"encoding\":\"base64\""));
    assert_int_equal(unlink("/tmp/insien-test-request"), 0);
    expect_code(fixture,
                "{\"id\":\"r\",\"type\":\"read\",\"path\":\"/tmp/insien-test-request\","
                "\"user\":\"root\"}",
                "file_not_found");
}

#define REQUEST_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REQUEST_TEST(what_is_no_request_is_told),
        REQUEST_TEST(configure_comes_first),
        REQUEST_TEST(a_command_is_answered_with_all_its_fields),
        REQUEST_TEST(a_cut_character_is_left_out),
        REQUEST_TEST(an_answer_too_long_for_a_message_loses_output),
        REQUEST_TEST(a_background_command_is_answered_at_once),
        REQUEST_TEST(failures_to_start_are_told),
        REQUEST_TEST(usage_is_told),
        REQUEST_TEST(a_command_is_measured_when_asked_to_be),
        REQUEST_TEST(files_go_there_and_back),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
