/* gateway/native/client_relay.c and client_streams.c: the bytes of streams, their credit, and who
 * waits for whom. */
#include "tests/support/turn.h"
#include "tests/unit/gateway/relay_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/gateway/shortage.h"
#include <event2/bufferevent.h>

enum { MEBIBYTE = 1024 * 1024 };

static bool agent_has_two_frames(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_agent.frame_count >= 2;
}

static void bytes_and_windows_go_both_ways(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    relay_send_frame(stage, 500, STREAM_DATA, VIEW("ping"));
    relay_send_frame(stage, 500, STREAM_FIN, (struct view){0});
    agent_send_window(&stage->agent, 1, 77);
    relay_wait_for(stage, relay_client_has_frame);
    assert_int_equal(stage->at_client.frames[0].id, 500);
    assert_int_equal(stage->at_client.frames[0].window, 77);
    relay_wait_for(stage, agent_has_two_frames);
    assert_int_equal(stage->at_agent.bytes, 4);
    assert_int_equal(stage->at_agent.frames[1].kind, STREAM_FIN);
    agent_send(&stage->agent, 1, STREAM_FIN, (struct view){0});
    stage->at_client.frame_count = 0;
    relay_wait_for(stage, relay_client_has_frame);
    assert_int_equal(stage->at_client.frames[0].kind, STREAM_FIN);
    assert_int_equal(stage->relay.streams_by_id.count, 0);
    relay_round_trip(stage);
    assert_int_equal(stage->at_client.frame_count, 1);
    assert_int_equal(stage->at_agent.frame_count, 2);
}

static bool agent_has_a_window(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_agent.bytes >= STREAM_WINDOW_INITIAL;
}

static void a_client_that_sends_more_than_was_granted_is_closed(void **state)
{
    static char data[STREAM_WINDOW_INITIAL + 1];
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    relay_send_frame(stage, 500, STREAM_DATA, (struct view){data, STREAM_WINDOW_INITIAL});
    relay_send_frame(stage, 500, STREAM_DATA, (struct view){data, 1});
    turn_until(relay_loop(stage), &stage->client_closed);
    assert_int_equal(stage->client_close_code, WS_CLOSE_POLICY);
    turn_until(relay_loop(stage), &stage->server_closed);
    relay_wait_for(stage, agent_has_a_window);
    turn_for(relay_loop(stage), 20);
    assert_int_equal(stage->at_agent.bytes, STREAM_WINDOW_INITIAL);
    assert_false(stage->agent.agent_closed);
}

static void a_client_whose_windows_lead_too_far_is_closed(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    relay_send_window(stage, 500, STREAM_CREDIT_MAX);
    turn_until(relay_loop(stage), &stage->client_closed);
    assert_int_equal(stage->client_close_code, WS_CLOSE_POLICY);
}

static void a_message_that_is_no_frame_closes_the_socket(void **state)
{
    struct relay_stage *stage = *state;
    relay_send_frame(stage, 1, (enum stream_kind)7, VIEW("?"));
    turn_until(relay_loop(stage), &stage->client_closed);
    assert_int_equal(stage->client_close_code, WS_CLOSE_PROTOCOL);
}

static void output_of_a_process_does_not_come_from_clients(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "exec", RELAY_RUNS);
    relay_send_frame(stage, 500, STREAM_STDOUT, VIEW("?"));
    turn_until(relay_loop(stage), &stage->client_closed);
    assert_int_equal(stage->client_close_code, WS_CLOSE_PROTOCOL);
    turn_until(relay_loop(stage), &stage->server_closed);
    assert_false(stage->agent.agent_closed);
}

static void flood(struct relay_stage *stage, size_t bytes)
{
    static char data[STREAM_PAYLOAD_MAX];
    while (bytes > 0) {
        size_t len = bytes < sizeof data ? bytes : sizeof data;
        agent_send(&stage->agent, stage->stream_id, STREAM_STDOUT, (struct view){data, len});
        bytes -= len;
    }
}

/* The agent's side of the credit: sends what it may now; true when that was anything. */
static bool send_granted(struct relay_stage *stage, size_t *granted)
{
    size_t windows = 0;
    assert_in_range(stage->at_agent.frame_count, 0, RELAY_HEARD_MAX);
    for (int i = 0; i < stage->at_agent.frame_count; i++) {
        windows += stage->at_agent.frames[i].window;
    }
    stage->at_agent.frame_count = 0;
    *granted += windows;
    flood(stage, windows);
    return windows > 0;
}

/* Until no more is granted. */
static void send_what_is_granted(struct relay_stage *stage, size_t *granted)
{
    for (int quiet = 0; quiet < 5; quiet++) {
        turn_for(relay_loop(stage), 10);
        if (send_granted(stage, granted)) {
            quiet = 0;
        }
    }
}

struct flow {
    struct relay_stage *stage;
    size_t *granted;
    size_t client_bytes; /* so many are wanted at the client */
    size_t least;        /* so many are to be granted */
};

static bool client_has_bytes(void *arg)
{
    const struct flow *flow = arg;
    (void)send_granted(flow->stage, flow->granted);
    return flow->stage->at_client.bytes >= flow->client_bytes;
}

/* So many come to the client, and no more, while the agent sends what it may. */
static void expect_at_client(struct relay_stage *stage, size_t *granted, size_t bytes)
{
    struct flow flow = {.stage = stage, .granted = granted, .client_bytes = bytes};
    turn_until_true(relay_loop(stage), client_has_bytes, &flow);
    send_what_is_granted(stage, granted);
    assert_int_equal(stage->at_client.bytes, bytes);
}

static bool has_backlog(void *arg)
{
    const struct flow *flow = arg;
    (void)send_granted(flow->stage, flow->granted);
    return ws_backlog(flow->stage->server) > 0 && *flow->granted >= flow->least;
}

/* To a client that does not read: at least so much, and until no more is granted. */
static void send_in_vain(struct relay_stage *stage, size_t *granted, size_t least)
{
    struct flow flow = {.stage = stage, .granted = granted, .least = least};
    turn_until_true(relay_loop(stage), has_backlog, &flow);
    send_what_is_granted(stage, granted);
}

static void a_client_that_grants_much_and_does_not_read_is_not_waited_for_in_memory(void **state)
{
    enum { MUCH = 32 * MEBIBYTE };
    struct relay_stage *stage = *state;
    size_t granted = STREAM_WINDOW_INITIAL;
    relay_open_stream(stage, "exec", RELAY_RUNS);
    relay_send_window(stage, 500, MUCH);
    relay_round_trip(stage);
    (void)bufferevent_disable(stage->client_bev, EV_READ);
    flood(stage, STREAM_WINDOW_INITIAL);
    send_in_vain(stage, &granted, MEBIBYTE);
    assert_in_range(granted, MEBIBYTE, 4 * MEBIBYTE);
    assert_in_range(ws_backlog(stage->server), 1, CLIENT_BACKLOG_SOFT + 2 * STREAM_WINDOW_INITIAL);
    (void)bufferevent_enable(stage->client_bev, EV_READ);
    expect_at_client(stage, &granted, MUCH + STREAM_WINDOW_INITIAL);
    assert_int_equal(granted, MUCH + STREAM_WINDOW_INITIAL);
    assert_false(stage->agent.agent_closed);
}

static void a_client_that_does_not_read_costs_little_while_memory_is_short(void **state)
{
    enum { MUCH = 8 * MEBIBYTE };
    struct relay_stage *stage = *state;
    struct shortage shortage;
    size_t granted = STREAM_WINDOW_SMALL;
    shortage_begin(&shortage, relay_loop(stage));
    relay_open_stream(stage, "exec", RELAY_RUNS);
    relay_send_window(stage, 500, MUCH);
    (void)bufferevent_disable(stage->client_bev, EV_READ);
    flood(stage, STREAM_WINDOW_SMALL);
    send_in_vain(stage, &granted, STREAM_WINDOW_SMALL);
    assert_in_range(ws_backlog(stage->server), 1, CLIENT_BACKLOG_LOW + 2 * STREAM_WINDOW_SMALL);
    (void)bufferevent_enable(stage->client_bev, EV_READ);
    expect_at_client(stage, &granted, MUCH + STREAM_WINDOW_INITIAL);
    shortage_end(&shortage);
    assert_int_equal(granted, MUCH + STREAM_WINDOW_INITIAL);
}

/* A client may save its grants up: what it has granted comes, in whatever pieces. */
static void a_client_gets_all_it_granted_while_memory_is_short(void **state)
{
    struct relay_stage *stage = *state;
    struct shortage shortage;
    size_t granted = STREAM_WINDOW_SMALL;
    shortage_begin(&shortage, relay_loop(stage));
    relay_open_stream(stage, "exec", RELAY_RUNS);
    flood(stage, STREAM_WINDOW_SMALL);
    expect_at_client(stage, &granted, STREAM_WINDOW_INITIAL);
    relay_send_window(stage, 500, STREAM_WINDOW_INITIAL);
    expect_at_client(stage, &granted, 2UL * STREAM_WINDOW_INITIAL);
    shortage_end(&shortage);
}

static void on_heard(const struct hub_reply *reply, const struct err *err, void *arg)
{
    assert_true(reply != NULL && err == NULL);
    *(bool *)arg = true;
}

/* Answers of the agent come behind what it said before. */
static void wait_for_all_the_agent_said(struct relay_stage *stage)
{
    const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"x\"}")};
    bool heard = false;
    struct err err;
    assert_non_null(hub_call_begin(stage->agent.gateway.hub, STAGE_SANDBOX_ID, &message, 0,
                                   on_heard, &heard, &err));
    turn_until(relay_loop(stage), &heard);
}

static const char watch_overflow[] =
    "{\"type\":\"watchEvent\",\"streamId\":500,\"event\":\"overflow\",\"path\":\"\"}";

static bool client_hears_of_overflow(void *arg)
{
    const struct relay_stage *stage = arg;
    return strcmp(stage->at_client.text, watch_overflow) == 0;
}

static void events_of_a_watch_do_not_pile_up_for_a_client_that_does_not_read(void **state)
{
    enum { EVENTS = 8000, AT_ONCE = 200, PATH = 800 };
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "watch", "\"type\":\"watchResponse\"");
    (void)bufferevent_disable(stage->client_bev, EV_READ);
    for (int i = 0; i < EVENTS; i++) {
        agent_say(&stage->agent, "{\"type\":\"watchEvent\",\"streamId\":1,\"path\":\"%0*d\"}", PATH,
                  i);
        if (i % AT_ONCE == 0) {
            turn_for(relay_loop(stage), 2);
        }
    }
    wait_for_all_the_agent_said(stage);
    assert_in_range(ws_backlog(stage->server), CLIENT_BACKLOG_SOFT / 2,
                    CLIENT_BACKLOG_SOFT + 2 * PATH);
    (void)bufferevent_enable(stage->client_bev, EV_READ);
    relay_wait_for(stage, client_hears_of_overflow);
    assert_in_range(stage->at_client.texts, 100, EVENTS - 1);
    assert_false(stage->client_closed);
}

static bool client_has_a_window(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_client.bytes >= STREAM_WINDOW_INITIAL;
}

static void a_small_grant_of_a_client_is_passed_on(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "exec", RELAY_RUNS);
    flood(stage, STREAM_WINDOW_INITIAL);
    relay_wait_for(stage, client_has_a_window);
    assert_int_equal(stage->at_client.bytes, STREAM_WINDOW_INITIAL);
    relay_send_window(stage, 500, 3);
    relay_wait_for(stage, relay_agent_has_frame);
    assert_int_equal(stage->at_agent.frames[0].window, 3);
}

static void ignore_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    (void)reply;
    (void)err;
    (void)arg;
}

static bool two_were_answered(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_client.texts == 2;
}

static bool agent_takes_no_more(void *arg)
{
    const struct relay_stage *stage = arg;
    return !hub_takes_bytes(stage->agent.gateway.hub, STAGE_SANDBOX_ID);
}

enum { UPLOADED = 24 * MEBIBYTE };

static bool agent_has_all(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_agent.bytes == UPLOADED;
}

static void a_client_waits_while_the_agent_has_too_many_requests(void **state)
{
    struct relay_stage *stage = *state;
    const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"x\"}")};
    struct hub *hub = stage->agent.gateway.hub;
    struct hub_call *calls[HUB_CALLS_MAX];
    struct err err = {0};
    for (int i = 0; i < HUB_CALLS_MAX; i++) {
        calls[i] = hub_call_begin(hub, STAGE_SANDBOX_ID, &message, 0, ignore_reply, NULL, &err);
        assert_non_null(calls[i]);
    }
    turn_until_count(relay_loop(stage), &stage->at_agent.texts, HUB_CALLS_MAX);
    stage->at_agent.texts = 0;
    stage->answer = "\"type\":\"psResponse\"";
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"ps\"}");
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"ps\"}");
    turn_for(relay_loop(stage), 50);
    assert_int_equal(stage->at_agent.texts, 0);
    assert_int_equal(stage->at_client.texts, 0);
    for (int i = 0; i < HUB_CALLS_MAX; i++) {
        hub_call_cancel(calls[i]);
    }
    relay_wait_for(stage, two_were_answered);
    assert_int_equal(stage->at_agent.texts, 2);
    assert_string_equal(stage->at_client.text,
                        "{\"id\":\"b\",\"streamId\":0,\"type\":\"psResponse\"}");
}

static void a_client_waits_while_the_agent_does_not_read(void **state)
{
    static char data[STREAM_PAYLOAD_MAX];
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    agent_send_window(&stage->agent, 1, UPLOADED);
    relay_wait_for(stage, relay_client_has_frame);
    agent_set_reading(&stage->agent, false);
    for (size_t sent = 0; sent < UPLOADED; sent += sizeof data) {
        relay_send_frame(stage, 500, STREAM_DATA, (struct view){data, sizeof data});
    }
    relay_wait_for(stage, agent_takes_no_more);
    turn_for(relay_loop(stage), 200);
    assert_in_range(ws_backlog(stage->client), UPLOADED / 2, UPLOADED);
    agent_set_reading(&stage->agent, true);
    relay_wait_for(stage, agent_has_all);
    assert_false(stage->client_closed);
}

static void a_client_that_waits_hears_of_a_lost_agent(void **state)
{
    static char data[STREAM_PAYLOAD_MAX];
    enum { MUCH = 8 * MEBIBYTE };
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    agent_send_window(&stage->agent, 1, MUCH);
    relay_wait_for(stage, relay_client_has_frame);
    agent_set_reading(&stage->agent, false);
    for (size_t sent = 0; sent < MUCH; sent += sizeof data) {
        relay_send_frame(stage, 500, STREAM_DATA, (struct view){data, sizeof data});
    }
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"ps\"}");
    turn_for(relay_loop(stage), 100);
    stage->agent.sandbox_ended = true;
    agent_vanish(&stage->agent);
    relay_wait_for_error(stage, "\"b\"", "agent_lost");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, relay_stage_open, relay_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_and_windows_go_both_ways),
        TEST(a_client_that_sends_more_than_was_granted_is_closed),
        TEST(a_client_whose_windows_lead_too_far_is_closed),
        TEST(a_message_that_is_no_frame_closes_the_socket),
        TEST(output_of_a_process_does_not_come_from_clients),
        TEST(a_client_that_grants_much_and_does_not_read_is_not_waited_for_in_memory),
        TEST(a_client_that_does_not_read_costs_little_while_memory_is_short),
        TEST(a_client_gets_all_it_granted_while_memory_is_short),
        TEST(events_of_a_watch_do_not_pile_up_for_a_client_that_does_not_read),
        TEST(a_small_grant_of_a_client_is_passed_on),
        TEST(a_client_waits_while_the_agent_has_too_many_requests),
        TEST(a_client_waits_while_the_agent_does_not_read),
        TEST(a_client_that_waits_hears_of_a_lost_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
