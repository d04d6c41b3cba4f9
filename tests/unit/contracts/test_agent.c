#include "common/contracts/agent.h"
#include "tests/unit/contracts/round_trip.h"

static void an_exec_of_all_members_survives(void **state)
{
    (void)state;
    struct agent_exec exec;
    expect_round_trip(
        &agent_exec_schema, &exec,
        "{\"id\":\"1\",\"type\":\"exec\",\"cmd\":\"ls\",\"args\":[\"-l\",\"\"],"
        "\"background\":true,\"cwd\":\"/tmp\",\"env\":{\"A\":\"b\",\"_c9\":\"\"},"
        "\"user\":\"root\",\"timeoutMs\":0,\"stdin\":\"a\\u0000b\",\"maxOutputBytes\":5,"
        "\"strictEof\":true,\"outputEncoding\":\"base64\",\"stream\":true,\"streamId\":7,"
        "\"pty\":{\"cols\":80,\"rows\":24},\"tag\":\"t\",\"session\":\"s\",\"spoolBytes\":4096,"
        "\"stdinOpen\":false,\"once\":\"o\"}");
    assert_true(exec.has_timeout);
    assert_true(exec.has_stdin);
    assert_true(exec.has_pty);
}

static void an_exec_has_defaults(void **state)
{
    (void)state;
    struct agent_exec exec;
    struct err err;
    assert_string_equal(refusal(&agent_exec_schema, &exec, "{\"cmd\":\"ls\"}", &err), "");
    assert_false(exec.has_timeout);
    assert_false(exec.has_stdin);
    assert_false(exec.background);
    assert_false(exec.stream || exec.has_pty || exec.has_stream_id);
    assert_int_equal(exec.max_output_bytes, EXEC_OUTPUT_DEFAULT);
    assert_int_equal(exec.spool_bytes, SPOOL_DEFAULT);
    assert_int_equal(exec.args.count, 0);
}

static void wrong_execs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"{}", "cmd is required"},
        {"{\"cmd\":\"\"}", "cmd must not be empty"},
        {"{\"cmd\":\"a\\u0000\"}", "cmd must not contain NUL"},
        {"{\"cmd\":\"a\",\"args\":\"b\"}", "args must be an array of strings"},
        {"{\"cmd\":\"a\",\"args\":[1]}", "args[0] must be a string"},
        {"{\"cmd\":\"a\",\"args\":[\"\\u0000\"]}", "args[0] must not contain NUL"},
        {"{\"cmd\":\"a\",\"env\":{\"A-B\":\"\"}}",
         "env.A-B must be a name of letters, digits and _ of at most 128 characters"},
        {"{\"cmd\":\"a\",\"env\":{\"A\":null}}", "env.A must be a string"},
        {"{\"cmd\":\"a\",\"timeoutMs\":-1}", "timeoutMs must be from 0 to 86400000"},
        {"{\"cmd\":\"a\",\"timeoutMs\":1.5}", "timeoutMs must be a whole number"},
        {"{\"cmd\":\"a\",\"maxOutputBytes\":0}", "maxOutputBytes must be from 1 to 4194304"},
        {"{\"cmd\":\"a\",\"streamId\":0}", "streamId must be from 1 to 2147483647"},
        {"{\"cmd\":\"a\",\"pty\":{\"cols\":80}}", "pty.rows is required"},
        {"{\"cmd\":\"a\",\"spoolBytes\":4095}", "spoolBytes must be from 4096 to 8388608"},
        {"{\"cmd\":\"a\",\"tag\":\"\"}", "tag must be 1 to 64 of A-Z a-z 0-9 . _ -"},
        {"{\"cmd\":\"a\",\"outputEncoding\":\"hex\"}",
         "outputEncoding must be one of utf8, base64"},
        {"{\"cmd\":\"a\",\"user\":\"a234567890123456789012345678901234\"}",
         "user must be at most 32 bytes long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_exec exec;
        struct err err;
        assert_string_equal(refusal(&agent_exec_schema, &exec, cases[i].text, &err),
                            cases[i].message);
    }
}

static void files_travel_whole(void **state)
{
    (void)state;
    struct agent_write written;
    struct agent_read asked;
    expect_round_trip(&agent_write_schema, &written,
                      "{\"id\":\"2\",\"type\":\"write\",\"path\":\"a/b\",\"content\":\"\\u0000\","
                      "\"encoding\":\"utf8\",\"user\":\"user\"}");
    expect_round_trip(&agent_write_schema, &written, "{\"path\":\"a\",\"content\":\"\"}");
    expect_round_trip(&agent_read_schema, &asked,
                      "{\"id\":\"3\",\"type\":\"read\",\"path\":\"~\",\"encoding\":\"base64\"}");
}

static void files_need_a_path(void **state)
{
    (void)state;
    struct agent_write written;
    struct agent_read asked;
    struct err err;
    assert_string_equal(refusal(&agent_write_schema, &written, "{\"path\":\"a\"}", &err),
                        "content is required");
    assert_string_equal(
        refusal(&agent_write_schema, &written, "{\"path\":\"\",\"content\":\"\"}", &err),
        "path must not be empty");
    assert_string_equal(refusal(&agent_read_schema, &asked, "{\"path\":\"a\\u0000\"}", &err),
                        "path must not contain NUL");
}

static void a_newer_agent_is_tolerated(void **state)
{
    (void)state;
    struct agent_hello hello;
    struct err err;
    assert_string_equal(refusal(&agent_hello_schema, &hello,
                                "{\"type\":\"hello\",\"protocol\":2,\"version\":\"9\",\"new\":[]}",
                                &err),
                        "");
    assert_int_equal(hello.protocol, 2);
    assert_string_equal(
        refusal(&agent_hello_schema, &hello, "{\"type\":\"hello\",\"version\":\"9\"}", &err),
        "protocol is required");
}

static void a_configuration_survives(void **state)
{
    (void)state;
    struct agent_configure configure;
    expect_round_trip(&agent_configure_schema, &configure,
                      "{\"id\":\"c\",\"type\":\"configure\",\"token\":\"t\",\"env\":{\"A\":\"1\"},"
                      "\"profile\":\"sudo\",\"workDir\":\"/app\",\"user\":\"user\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exec_of_all_members_survives),
        cmocka_unit_test(an_exec_has_defaults),
        cmocka_unit_test(wrong_execs_are_refused),
        cmocka_unit_test(files_travel_whole),
        cmocka_unit_test(files_need_a_path),
        cmocka_unit_test(a_newer_agent_is_tolerated),
        cmocka_unit_test(a_configuration_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
