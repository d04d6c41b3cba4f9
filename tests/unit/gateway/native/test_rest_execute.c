/* One-shot execution over REST, with a sandbox-service and an agent of the test's own. */
#include "tests/unit/gateway/native/rest_stage.h"

#include "tests/support/turn.h"

#include <sys/socket.h>

#define EXECUTE "POST /sandbox/execute"
#define BATCH "POST /sandbox/execute/batch"
#define JSON_TYPE "Content-Type: application/json\r\n"
#define RAN(output, code)                                                                          \
    "\"type\":\"execResponse\",\"stdout\":\"" output "\",\"stderr\":\"\",\"exitCode\":" code       \
    ",\"signal\":null,\"reason\":\"exited\",\"durationMs\":7,\"truncated\":false,\"cpuMs\":3,"     \
    "\"peakMemoryBytes\":4096"

/* Writes go well; commands end as the test says, one after the other. */
static const char *const *commands;

static void serve_agent(struct rest_stage *stage, struct view text)
{
    if (view_has(text, "\"type\":\"write\"")) {
        rest_answer(stage, "\"type\":\"writeResponse\",\"success\":true,\"path\":\"/app/x\"");
    } else {
        assert_non_null(*commands);
        rest_answer(stage, *commands++);
    }
}

static struct reply run(struct rest_stage *stage, const char *line, const char *body,
                        const char *const *answers)
{
    commands = answers;
    stage->on_request = serve_agent;
    return rest_ask(stage, line, JSON_TYPE, view_of(body));
}

static void expect_gone(struct rest_stage *stage, int sandboxes)
{
    turn_until_count(stage->agent.gateway.loop, &stage->agent.destroys, sandboxes);
    assert_int_equal(stage->agent.destroys, sandboxes);
}

static void a_program_is_run_and_its_sandbox_is_gone(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const answers[] = {RAN("42\\n", "0"), NULL};
    struct reply reply =
        run(stage, EXECUTE,
            "{\"language\":\"py\",\"code\":\"print(42)\",\"input\":\"in\",\"timeout\":2000,"
            "\"files\":{\"data.txt\":\"d\"},\"env\":{\"A\":\"1\"}}",
            answers);
    assert_int_equal(reply.status, 200);
    assert_view(reply.body,
                "{\"success\":true,\"language\":\"python\",\"stdout\":\"42\\n\",\"stderr\":\"\","
                "\"exitCode\":0,\"signal\":null,\"reason\":\"exited\",\"durationMs\":7,\"cpuMs\":3,"
                "\"peakMemoryBytes\":4096,\"truncated\":false,\"compileResult\":null}");
    assert_asked(stage, "\"path\":\"data.txt\",\"content\":\"d\"");
    assert_asked(stage, "\"path\":\"main.py\",\"content\":\"print(42)\"");
    assert_asked(stage, "\"cmd\":\"python3\",\"args\":[\"main.py\"]");
    assert_asked(stage, "\"timeoutMs\":2000,\"stdin\":\"in\"");
    assert_asked(stage, "\"measure\":true,\"alone\":true");
    assert_true(view_has(str_view(&stage->agent.created), "\"template\":\"python\""));
    assert_true(view_has(str_view(&stage->agent.created), "\"network\":\"none\""));
    expect_gone(stage, 1);
}

static void its_sandbox_is_gone_when_that_can_be(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const answers[] = {RAN("42\\n", "0"), NULL};
    stage->agent.destroys_refused = 2;
    struct reply reply =
        run(stage, EXECUTE, "{\"language\":\"py\",\"code\":\"print(42)\"}", answers);
    assert_int_equal(reply.status, 200);
    expect_gone(stage, 1);
    assert_int_equal(stage->agent.destroys_refused, 0);
}

static void tests_get_verdicts_after_one_compilation(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const answers[] = {RAN("", "0"), RAN("2\\n", "0"), RAN("5\\n", "0"),
                                          RAN("", "1"), NULL};
    struct reply reply = run(stage, EXECUTE,
                             "{\"language\":\"cpp\",\"code\":\"int main(){}\",\"tests\":["
                             "{\"input\":\"1\",\"expected\":\"2\"},{\"expected\":\"4\"},"
                             "{\"expected\":\"\"}]}",
                             answers);
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"success\":false"));
    assert_true(view_has(reply.body, "\"verdict\":\"wrong_answer\",\"tests\":["
                                     "{\"verdict\":\"accepted\",\"stdout\":\"2\\n\""));
    assert_true(view_has(reply.body, "{\"verdict\":\"wrong_answer\",\"stdout\":\"5\\n\""));
    assert_true(view_has(reply.body, "{\"verdict\":\"runtime_error\",\"stdout\":\"\""));
    assert_true(view_has(reply.body, "\"compileResult\":{\"stdout\":\"\""));
    assert_asked(stage, "\"cmd\":\"g++\"");
    expect_gone(stage, 1);
}

static void what_does_not_compile_is_not_run(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const answers[] = {RAN("no", "1"), NULL};
    struct reply reply =
        run(stage, EXECUTE, "{\"language\":\"c\",\"code\":\"x\",\"tests\":[{\"expected\":\"\"}]}",
            answers);
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"compileResult\":{\"stdout\":\"no\""));
    assert_true(view_has(reply.body, "\"error\":\"Compilation failed\""));
    assert_true(view_has(reply.body, "\"tests\":[{\"verdict\":\"compile_error\"}]"));
    expect_gone(stage, 1);
}

static void the_common_template_stands_in(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const answers[] = {RAN("", "0"), NULL};
    stage->agent.create_refusal = "template_not_found";
    struct reply reply = run(stage, EXECUTE, "{\"language\":\"python\",\"code\":\"1\"}", answers);
    assert_int_equal(reply.status, 200);
    assert_int_equal(stage->agent.creates, 2);
    assert_true(view_has(str_view(&stage->agent.created), "\"template\":\"base-locked\""));
    expect_gone(stage, 1);
}

static void a_language_that_is_not_there_is_told(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const answers[] = {
        "\"type\":\"error\",\"error\":\"no\",\"code\":\"command_not_found\"", NULL};
    struct reply reply = run(stage, EXECUTE, "{\"language\":\"rust\",\"code\":\"1\"}", answers);
    assert_int_equal(reply.status, 409);
    assert_true(view_has(reply.body, "\"code\":\"language_unavailable\""));
    expect_gone(stage, 1);
}

static void mistakes_make_no_sandbox(void **state)
{
    struct rest_stage *stage = *state;
    struct reply reply = run(stage, EXECUTE, "{\"language\":\"cobol\",\"code\":\"1\"}", NULL);
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"unsupported_language\""));
    assert_int_equal(stage->agent.creates, 0);
}

static void who_leaves_ends_it(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, EXECUTE, JSON_TYPE, VIEW("{\"language\":\"python\",\"code\":\"1\"}"));
    rest_wait_requests(stage, 1); /* the file, which is not answered */
    /* Shutting down its side alone would not be leaving. */
    const struct linger at_once = {.l_onoff = 1};
    assert_int_equal(setsockopt(stage->client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once),
                     0);
    client_close(&stage->client);
    expect_gone(stage, 1);
}

static void a_batch_of_one_has_its_result(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const answers[] = {RAN("1\\n", "0"), NULL};
    struct reply reply =
        run(stage, BATCH, "{\"items\":[{\"language\":\"bash\",\"code\":\"echo 1\"}]}", answers);
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "{\"results\":[{\"success\":true,\"language\":\"bash\","));
    expect_gone(stage, 1);
}

static void mistakes_in_a_batch_make_no_sandbox(void **state)
{
    struct rest_stage *stage = *state;
    struct reply reply = run(stage, BATCH, "{\"items\":[]}", NULL);
    assert_int_equal(reply.status, 400);
    reply = run(stage, BATCH, "{\"items\":[{\"language\":\"bash\"}]}", NULL);
    assert_int_equal(reply.status, 400);
    reply =
        run(stage, BATCH,
            "{\"items\":[{\"language\":\"bash\",\"code\":\"1\",\"timeout\":300000,\"tests\":["
            "{\"expected\":\"\"},{\"expected\":\"\"},{\"expected\":\"\"},{\"expected\":\"\"},"
            "{\"expected\":\"\"},{\"expected\":\"\"}]},{\"language\":\"bash\",\"code\":\"1\"}]}",
            NULL);
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "all items together"));
    assert_int_equal(stage->agent.creates, 0);
}

#define EXECUTE_TEST(name) cmocka_unit_test_setup_teardown(name, rest_stage_open, rest_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EXECUTE_TEST(a_program_is_run_and_its_sandbox_is_gone),
        EXECUTE_TEST(its_sandbox_is_gone_when_that_can_be),
        EXECUTE_TEST(tests_get_verdicts_after_one_compilation),
        EXECUTE_TEST(what_does_not_compile_is_not_run),
        EXECUTE_TEST(the_common_template_stands_in),
        EXECUTE_TEST(a_language_that_is_not_there_is_told),
        EXECUTE_TEST(mistakes_make_no_sandbox),
        EXECUTE_TEST(who_leaves_ends_it),
        EXECUTE_TEST(a_batch_of_one_has_its_result),
        EXECUTE_TEST(mistakes_in_a_batch_make_no_sandbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
