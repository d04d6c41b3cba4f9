/* gateway/hub/stream.c: credit both ways, and agents that do not keep to it. */
#include "tests/support/turn.h"
#include "tests/unit/gateway/stream_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/gateway/shortage.h"

enum { KIBIBYTE = 1024, MEBIBYTE = 1024 * 1024 };

static bool agent_has_a_window(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->agent_bytes >= STREAM_WINDOW_INITIAL;
}

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
    stream_wait_for(stage, agent_has_a_window);
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

static bool owner_has_thirteen_more(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->byte_count == STREAM_WINDOW_INITIAL + 13;
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
    stream_wait_for(stage, owner_has_thirteen_more);
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

/* Waits for the next window frame, and forgets it. */
static uint32_t next_window(struct stream_stage *stage)
{
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->frames[0].kind, STREAM_WINDOW);
    stage->frame_count = 0;
    return stage->frames[0].window;
}

struct byte_wait {
    const struct stream_stage *stage;
    size_t count;
};

static bool has_so_many_bytes(void *arg)
{
    const struct byte_wait *wait = arg;
    return wait->stage->byte_count >= wait->count;
}

static void wait_for_bytes(struct stream_stage *stage, size_t count)
{
    struct byte_wait wait = {stage, count};
    turn_until_true(stream_stage_loop(stage), has_so_many_bytes, &wait);
}

static void a_stream_begins_small_while_memory_is_short(void **state)
{
    struct stream_stage *stage = *state;
    struct shortage shortage;
    shortage_begin(&shortage, stream_stage_loop(stage));
    stream_open_answered(stage, STREAM_RUNS);
    assert_in_range(stage->id, STREAM_ID_SMALL, STREAM_ID_MAX);
    send_from_agent(stage, STREAM_WINDOW_SMALL);
    wait_for_bytes(stage, STREAM_WINDOW_SMALL);
    hub_stream_grant(stage->stream, STREAM_WINDOW_SMALL);
    assert_int_equal(next_window(stage), STREAM_WINDOW_SMALL);
    shortage_end(&shortage);
    hub_stream_grant(stage->stream, 1);
    assert_int_equal(next_window(stage), STREAM_WINDOW_INITIAL - STREAM_WINDOW_SMALL + 1);
}

static void an_agent_that_knows_no_small_windows_is_given_none(void **state)
{
    struct stream_stage *stage = *state;
    struct shortage shortage;
    agent_come_back_older(&stage->agent);
    shortage_begin(&shortage, stream_stage_loop(stage));
    stream_open_answered(stage, STREAM_RUNS);
    assert_in_range(stage->id, 1, STREAM_ID_SMALL - 1);
    send_from_agent(stage, STREAM_WINDOW_INITIAL);
    wait_for_bytes(stage, STREAM_WINDOW_INITIAL);
    assert_false(stage->agent.agent_closed);
    shortage_end(&shortage);
}

static void an_agent_that_takes_a_small_window_for_a_large_one_is_closed(void **state)
{
    struct stream_stage *stage = *state;
    struct shortage shortage;
    shortage_begin(&shortage, stream_stage_loop(stage));
    stream_open_answered(stage, STREAM_RUNS);
    send_from_agent(stage, STREAM_WINDOW_SMALL + 1);
    turn_until(stream_stage_loop(stage), &stage->agent.agent_closed);
    assert_int_equal(stage->agent.agent_close_code, WS_CLOSE_PROTOCOL);
    shortage_end(&shortage);
}

static void a_stream_shrinks_while_memory_is_short_and_grows_back(void **state)
{
    struct stream_stage *stage = *state;
    struct shortage shortage;
    stream_open_answered(stage, STREAM_RUNS);
    assert_in_range(stage->id, 1, STREAM_ID_SMALL - 1);
    send_from_agent(stage, STREAM_WINDOW_INITIAL);
    wait_for_bytes(stage, STREAM_WINDOW_INITIAL);
    shortage_begin(&shortage, stream_stage_loop(stage));
    hub_stream_grant(stage->stream, STREAM_WINDOW_INITIAL / 2);
    hub_stream_grant(stage->stream, STREAM_WINDOW_INITIAL / 2);
    assert_int_equal(next_window(stage), STREAM_WINDOW_SMALL);
    send_from_agent(stage, STREAM_WINDOW_SMALL);
    wait_for_bytes(stage, STREAM_WINDOW_INITIAL + STREAM_WINDOW_SMALL);
    shortage_end(&shortage);
    hub_stream_grant(stage->stream, STREAM_WINDOW_SMALL);
    assert_int_equal(next_window(stage), STREAM_WINDOW_INITIAL);
}

static void what_the_agent_may_send_is_expected_until_the_stream_ends(void **state)
{
    struct stream_stage *stage = *state;
    outflow_set_budget(2 * (STREAM_WINDOW_INITIAL - STREAM_WINDOW_SMALL) - 2);
    assert_false(outflow_is_tight());
    stream_open_answered(stage, STREAM_RUNS);
    assert_true(outflow_is_tight());
    send_from_agent(stage, 1);
    wait_for_bytes(stage, 1);
    assert_false(outflow_is_tight());
    outflow_set_budget(0);
    assert_true(outflow_is_tight());
    hub_stream_close(stage->stream);
    stage->stream = NULL;
    assert_false(outflow_is_tight());
    outflow_set_budget(SIZE_MAX);
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
        TEST(what_the_agent_may_send_is_expected_until_the_stream_ends),
        TEST(a_stream_begins_small_while_memory_is_short),
        TEST(an_agent_that_knows_no_small_windows_is_given_none),
        TEST(an_agent_that_takes_a_small_window_for_a_large_one_is_closed),
        TEST(a_stream_shrinks_while_memory_is_short_and_grows_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
