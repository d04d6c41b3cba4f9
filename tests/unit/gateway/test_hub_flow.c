/* gateway/hub/stream.c: credit both ways, and agents that do not keep to it. */
#include "tests/support/turn.h"
#include "tests/unit/gateway/stream_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { KIBIBYTE = 1024, MEBIBYTE = 1024 * 1024 };

static void only_what_the_agent_takes_can_be_sent(void **state)
{
    static char data[STREAM_WINDOW_INITIAL + 1];
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    assert_false(hub_stream_send(stage->stream, (struct view){data, sizeof data}));
    assert_true(hub_stream_send(stage->stream, (struct view){data, STREAM_WINDOW_INITIAL}));
    assert_int_equal(hub_stream_credit(stage->stream), 0);
    assert_false(hub_stream_send(stage->stream, (struct view){data, 1}));
    agent_send_window(&stage->agent, stage->id, 5);
    stream_wait_for(stage, stream_has_window);
    assert_int_equal(stage->window, 5);
    assert_int_equal(hub_stream_credit(stage->stream), 5);
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->agent_bytes, STREAM_WINDOW_INITIAL);
    assert_int_equal(stage->frame_count, STREAM_WINDOW_INITIAL / STREAM_PAYLOAD_MAX);
}

static void small_grants_are_put_together(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    hub_stream_grant(stage->stream, 1);
    hub_stream_grant(stage->stream, 40 * KIBIBYTE);
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->frame_count, 0);
    hub_stream_grant(stage->stream, 40 * KIBIBYTE);
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->frames[0].kind, STREAM_WINDOW);
    assert_int_equal(stage->frames[0].window, 80 * KIBIBYTE + 1);
}

static void send_from_agent(struct stream_stage *stage, size_t bytes)
{
    static char data[STREAM_PAYLOAD_MAX];
    while (bytes > 0) {
        size_t len = bytes < sizeof data ? bytes : sizeof data;
        agent_send(&stage->agent, stage->id, STREAM_STDOUT, (struct view){data, len});
        bytes -= len;
    }
}

static void a_small_grant_goes_at_once_when_the_agent_runs_out(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    hub_stream_grant(stage->stream, 10);
    send_from_agent(stage, STREAM_WINDOW_INITIAL);
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->frames[0].window, 10);
    hub_stream_grant(stage->stream, 3);
    stage->frame_count = 0;
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->frames[0].window, 3);
    send_from_agent(stage, 13);
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->byte_count, STREAM_WINDOW_INITIAL + 13);
    assert_false(stage->agent.agent_closed);
}

static void an_agent_that_sends_more_than_was_granted_is_closed(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    send_from_agent(stage, STREAM_WINDOW_INITIAL + 1);
    turn_until(stream_stage_loop(stage), &stage->agent.agent_closed);
    assert_int_equal(stage->agent.agent_close_code, WS_CLOSE_PROTOCOL);
    turn_until(stream_stage_loop(stage), &stage->closed);
    assert_string_equal(stage->closed_err.reason, "agent_lost");
}

static void an_agent_whose_window_leads_too_far_is_closed(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    agent_send_window(&stage->agent, stage->id, STREAM_CREDIT_MAX);
    turn_until(stream_stage_loop(stage), &stage->agent.agent_closed);
    assert_int_equal(stage->agent.agent_close_code, WS_CLOSE_PROTOCOL);
    assert_int_equal(stage->windows, 0);
}

static void an_agent_whose_frame_is_malformed_is_closed(void **state)
{
    struct stream_stage *stage = *state;
    agent_send(&stage->agent, 1, (enum stream_kind)9, VIEW("?"));
    turn_until(stream_stage_loop(stage), &stage->agent.agent_closed);
    assert_int_equal(stage->agent.agent_close_code, WS_CLOSE_PROTOCOL);
}

static void bytes_behind_a_fin_are_a_breach(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    agent_send(&stage->agent, stage->id, STREAM_FIN, (struct view){0});
    agent_send(&stage->agent, stage->id, STREAM_STDOUT, VIEW("x"));
    turn_until(stream_stage_loop(stage), &stage->agent.agent_closed);
    assert_int_equal(stage->agent.agent_close_code, WS_CLOSE_PROTOCOL);
}

static void an_agent_that_does_not_read_holds_its_senders_back(void **state)
{
    static char data[STREAM_PAYLOAD_MAX];
    struct stream_stage *stage = *state;
    size_t sent = 0;
    stream_open_answered(stage, STREAM_RUNS);
    agent_send_window(&stage->agent, stage->id, 32 * MEBIBYTE);
    stream_wait_for(stage, stream_has_window);
    agent_set_reading(&stage->agent, false);
    stage->windows = 0;
    while (hub_stream_send(stage->stream, (struct view){data, sizeof data})) {
        sent += sizeof data;
    }
    assert_in_range(sent, MEBIBYTE, 6 * MEBIBYTE);
    assert_int_equal(hub_stream_credit(stage->stream), 0);
    agent_set_reading(&stage->agent, true);
    stream_wait_for(stage, stream_has_window);
    assert_int_equal(stage->window, 0);
    assert_in_range(hub_stream_credit(stage->stream), 1, 32 * MEBIBYTE);
    assert_true(hub_stream_send(stage->stream, VIEW("more")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stream_stage_open, stream_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_what_the_agent_takes_can_be_sent),
        TEST(small_grants_are_put_together),
        TEST(a_small_grant_goes_at_once_when_the_agent_runs_out),
        TEST(an_agent_that_sends_more_than_was_granted_is_closed),
        TEST(an_agent_whose_window_leads_too_far_is_closed),
        TEST(an_agent_whose_frame_is_malformed_is_closed),
        TEST(bytes_behind_a_fin_are_a_breach),
        TEST(an_agent_that_does_not_read_holds_its_senders_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
