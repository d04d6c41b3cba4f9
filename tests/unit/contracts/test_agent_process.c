#include "common/contracts/agent_process.h"
#include "tests/unit/contracts/round_trip.h"

static void an_attach_of_all_members_survives(void **state)
{
    (void)state;
    struct agent_attach attach;
    expect_round_trip(&agent_attach_schema, &attach,
                      "{\"id\":\"1\",\"type\":\"attach\",\"pid\":5,\"streamId\":7,\"offset\":-1,"
                      "\"stdoutOffset\":0,\"stderrOffset\":12345678901}");
    assert_true(attach.has_stderr_offset);
    expect_round_trip(&agent_attach_schema, &attach,
                      "{\"type\":\"attach\",\"tag\":\"a.B-_9\",\"streamId\":2147483647}");
    assert_false(attach.has_offset);
}

static void the_rest_survives_too(void **state)
{
    (void)state;
    struct agent_input input;
    struct agent_close_stdin close_stdin;
    struct agent_resize resize;
    struct agent_signal signal;
    struct agent_ps ps;
    struct agent_lookup lookup;
    struct agent_close_session close_session;
    expect_round_trip(&agent_input_schema, &input,
                      "{\"type\":\"input\",\"pid\":1,\"data\":\"\\u0000\",\"encoding\":\"utf8\","
                      "\"eof\":true}");
    expect_round_trip(&agent_close_stdin_schema, &close_stdin,
                      "{\"type\":\"closeStdin\",\"pid\":1}");
    expect_round_trip(&agent_resize_schema, &resize,
                      "{\"type\":\"resize\",\"pid\":1,\"cols\":1,\"rows\":1000}");
    expect_round_trip(&agent_signal_schema, &signal,
                      "{\"type\":\"signal\",\"pid\":1,\"signal\":\"SIGINT\",\"group\":false}");
    expect_round_trip(&agent_signal_number_schema, &signal,
                      "{\"type\":\"signal\",\"pid\":1,\"signal\":9,\"group\":true}");
    expect_round_trip(&agent_ps_schema, &ps, "{\"type\":\"ps\"}");
    expect_round_trip(&agent_lookup_schema, &lookup, "{\"type\":\"lookup\",\"once\":\"a/b/c\"}");
    expect_round_trip(&agent_close_session_schema, &close_session,
                      "{\"type\":\"closeSession\",\"session\":\"s\"}");
}

static void a_process_is_named_in_one_way(void **state)
{
    (void)state;
    struct err err;
    assert_true(agent_named_check(&(struct agent_named){.pid = 1, .has_pid = true}, &err));
    assert_true(agent_named_check(&(struct agent_named){.tag = VIEW("t")}, &err));
    assert_false(agent_named_check(&(struct agent_named){.pid = 0}, &err));
    assert_string_equal(err.reason, "invalid_request");
    assert_false(agent_named_check(
        &(struct agent_named){.pid = 1, .has_pid = true, .tag = VIEW("t")}, &err));
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    struct err err;
    struct agent_attach attach;
    struct agent_signal signal;
    assert_string_equal(refusal(&agent_attach_schema, &attach, "{\"pid\":1}", &err),
                        "streamId is required");
    assert_string_equal(
        refusal(&agent_attach_schema, &attach, "{\"tag\":\"a b\",\"streamId\":1}", &err),
        "tag must be 1 to 64 of A-Z a-z 0-9 . _ -");
    assert_string_equal(
        refusal(&agent_signal_number_schema, &signal, "{\"pid\":1,\"signal\":65}", &err),
        "signal must be from 1 to 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attach_of_all_members_survives),
        cmocka_unit_test(the_rest_survives_too),
        cmocka_unit_test(a_process_is_named_in_one_way),
        cmocka_unit_test(wrong_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
