/* gateway/native/client_relay.c and client_streams.c between a client and an agent of the test's
 * own. */
#include "gateway/native/client_relay.h"

#include "common/contracts/stream.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/agent_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { KIBIBYTE = 1024, MEBIBYTE = 1024 * 1024, TEXT_SIZE = 1024, HEARD_MAX = 8 };

struct heard {
    char text[TEXT_SIZE]; /* the last one */
    int texts;
    struct stream_frame frames[HEARD_MAX]; /* payloads are gone */
    size_t lengths[HEARD_MAX];
    int frame_count;
    size_t bytes;
    char code[STREAM_CODE_SIZE]; /* of a reset */
};

struct fixture {
    struct agent_stage stage;
    struct client_relay relay;
    struct ws_socket *server; /* the gateway's end of the client's connection */
    struct ws_socket *client;
    struct bufferevent *client_bev;
    bool server_closed;
    bool client_closed;
    int client_close_code;
    int answered;
    struct heard at_client;
    struct heard at_agent;
    const char *answer; /* members behind the id; NULL: no answer */
    char request_id[32];
    uint32_t stream_id; /* at the agent */
};

static void hear_text(struct heard *heard, struct view text)
{
    assert_true(view_copy(text, heard->text, sizeof heard->text));
    heard->texts++;
}

static void hear_frame(struct heard *heard, const struct stream_frame *frame)
{
    int at = heard->frame_count % HEARD_MAX;
    heard->frames[at] = *frame;
    heard->lengths[at] = frame->payload.len;
    heard->bytes += stream_kind_is_bytes(frame->kind) ? frame->payload.len : 0;
    heard->frame_count++;
    if (frame->kind == STREAM_RESET) {
        assert_true(view_copy(frame->payload, heard->code, sizeof heard->code));
    }
}

static void on_agent_text(struct view text, const struct json_envelope *envelope, void *arg)
{
    struct fixture *fixture = arg;
    hear_text(&fixture->at_agent, text);
    assert_true(view_copy(envelope->id, fixture->request_id, sizeof fixture->request_id));
    fixture->stream_id = envelope->stream_id;
    if (fixture->answer != NULL) {
        agent_say(&fixture->stage, "{\"id\":\"%s\",\"streamId\":%u,%s}", fixture->request_id,
                  fixture->stream_id, fixture->answer);
    }
}

static void on_agent_frame(const struct stream_frame *frame, void *arg)
{
    struct fixture *fixture = arg;
    hear_frame(&fixture->at_agent, frame);
}

static void on_server_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct fixture *fixture = arg;
    client_relay_take(&fixture->relay, opcode, message);
}

static void on_server_closed(int code, void *arg)
{
    (void)code;
    struct fixture *fixture = arg;
    fixture->server_closed = true;
    client_relay_close(&fixture->relay);
    ws_socket_free(fixture->server);
    fixture->server = NULL;
}

static void on_server_drained(void *arg)
{
    struct fixture *fixture = arg;
    client_relay_on_drained(&fixture->relay);
}

static void on_client_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct fixture *fixture = arg;
    struct stream_frame frame;
    struct err err = {0};
    if (opcode == WS_TEXT) {
        hear_text(&fixture->at_client, message);
        return;
    }
    assert_true(stream_frame_read(message, &frame, &err));
    hear_frame(&fixture->at_client, &frame);
}

static void on_client_closed(int code, void *arg)
{
    struct fixture *fixture = arg;
    fixture->client_closed = true;
    fixture->client_close_code = code;
    ws_socket_free(fixture->client);
    fixture->client = NULL;
}

static void on_answered(void *arg)
{
    struct fixture *fixture = arg;
    fixture->answered++;
}

static struct bufferevent *wrap(struct fixture *fixture, int fd)
{
    struct bufferevent *bev =
        bufferevent_socket_new(loop_base(fixture->stage.gateway.loop), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(bev);
    return bev;
}

static int open_fixture(void **state)
{
    static const struct ws_events server_events = {on_server_message, on_server_closed,
                                                   on_server_drained};
    static const struct ws_events client_events = {.on_message = on_client_message,
                                                   .on_closed = on_client_closed};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    int fds[2];
    fixture->stage.on_text = on_agent_text;
    fixture->stage.on_frame = on_agent_frame;
    fixture->stage.arg = fixture;
    agent_stage_open(&fixture->stage);
    struct loop *loop = fixture->stage.gateway.loop;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_true(client_relay_open(&fixture->relay, fixture->stage.gateway.hub, STAGE_SANDBOX_ID,
                                  on_answered, fixture, &err));
    fixture->server = ws_socket_new(loop, WS_SERVER, wrap(fixture, fds[0]), &client_limits,
                                    &server_events, fixture, &err);
    fixture->relay.socket = fixture->server;
    fixture->client_bev = wrap(fixture, fds[1]);
    fixture->client = ws_socket_new(loop, WS_CLIENT, fixture->client_bev, &ws_default_limits,
                                    &client_events, fixture, &err);
    assert_non_null(fixture->server);
    assert_non_null(fixture->client);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    client_relay_close(&fixture->relay);
    ws_socket_free(fixture->server);
    ws_socket_free(fixture->client);
    agent_stage_close(&fixture->stage);
    free(fixture);
    return 0;
}

static struct loop *loop_of(const struct fixture *fixture)
{
    return fixture->stage.gateway.loop;
}

static void ask(struct fixture *fixture, const char *text)
{
    const struct view part = view_of(text);
    struct err err = {0};
    assert_true(ws_send(fixture->client, WS_TEXT, &part, 1, &err));
}

static void send_frame(struct fixture *fixture, uint32_t id, enum stream_kind kind,
                       struct view payload)
{
    char header[STREAM_HEADER_SIZE];
    struct err err = {0};
    stream_header_write(id, kind, header);
    const struct view parts[] = {{header, sizeof header}, payload};
    assert_true(ws_send(fixture->client, WS_BINARY, parts, 2, &err));
}

static void send_window(struct fixture *fixture, uint32_t id, uint32_t bytes)
{
    char window[STREAM_WINDOW_SIZE];
    stream_window_write(bytes, window);
    send_frame(fixture, id, STREAM_WINDOW, (struct view){window, sizeof window});
}

static bool client_has_text(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->at_client.texts > 0;
}

static bool client_has_frame(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->at_client.frame_count > 0;
}

static bool agent_has_text(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->at_agent.texts > 0;
}

static bool agent_has_frame(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->at_agent.frame_count > 0;
}

static void wait_for(struct fixture *fixture, bool (*condition)(void *arg))
{
    turn_until_true(loop_of(fixture), condition, fixture);
}

static void wait_for_text(struct fixture *fixture, const char *text)
{
    wait_for(fixture, client_has_text);
    assert_string_equal(fixture->at_client.text, text);
    fixture->at_client.texts = 0;
}

static void wait_for_error(struct fixture *fixture, const char *id, const char *code)
{
    char head[128];
    char tail[128];
    (void)snprintf(head, sizeof head, "{\"id\":%s,\"type\":\"error\",", id);
    (void)snprintf(tail, sizeof tail, ",\"code\":\"%s\"}", code);
    wait_for(fixture, client_has_text);
    const char *text = fixture->at_client.text;
    fixture->at_client.texts = 0;
    assert_true(strncmp(text, head, strlen(head)) == 0);
    assert_true(strlen(text) >= strlen(tail));
    assert_string_equal(text + strlen(text) - strlen(tail), tail);
}

#define RUNS "\"type\":\"execResponse\",\"pid\":7"

/* Opens stream 500 of the client's. */
static void open_stream(struct fixture *fixture, const char *type, const char *answer)
{
    char text[TEXT_SIZE];
    fixture->answer = answer;
    (void)snprintf(text, sizeof text,
                   "{\"id\":\"a\",\"type\":\"%s\",\"stream\":true,\"streamId\":500}", type);
    ask(fixture, text);
    wait_for(fixture, client_has_text);
    fixture->at_client.texts = 0;
    fixture->at_agent.texts = 0;
}

static void an_answer_comes_back_with_the_id_of_the_client(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = "\"type\":\"listResponse\"";
    ask(fixture, "{\"type\":\"list\",\"id\":\"my own\",\"path\":\"/\"}");
    wait_for_text(fixture, "{\"id\":\"my own\",\"streamId\":0,\"type\":\"listResponse\"}");
    assert_string_equal(fixture->at_agent.text, "{\"type\":\"list\",\"id\":\"1\",\"path\":\"/\"}");
    assert_int_equal(fixture->answered, 1);
}

static void what_is_no_request_is_answered_with_an_error(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "[]");
    wait_for_error(fixture, "null", "invalid_message");
    ask(fixture, "{\"type\":\"list\"}");
    wait_for_error(fixture, "null", "invalid_message");
    ask(fixture, "{\"type\":\"configure\",\"id\":\"1\"}");
    wait_for_error(fixture, "\"1\"", "unknown_type");
    assert_int_equal(fixture->at_agent.texts, 0);
}

static void a_stream_has_an_id_of_its_own_on_each_side(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = RUNS;
    ask(fixture, "{\"streamId\":500,\"id\":\"a\",\"type\":\"exec\",\"stream\":true}");
    wait_for_text(fixture, "{\"id\":\"a\",\"streamId\":500,\"type\":\"execResponse\",\"pid\":7}");
    assert_string_equal(fixture->at_agent.text,
                        "{\"id\":\"1\",\"streamId\":1,\"type\":\"exec\",\"stream\":true}");
    agent_send(&fixture->stage, 1, STREAM_STDOUT, VIEW("hello"));
    wait_for(fixture, client_has_frame);
    assert_int_equal(fixture->at_client.frames[0].id, 500);
    assert_int_equal(fixture->at_client.frames[0].kind, STREAM_STDOUT);
    assert_int_equal(fixture->at_client.bytes, 5);
    agent_say(&fixture->stage, "{\"type\":\"exit\",\"streamId\":1,\"exitCode\":0}");
    wait_for_text(fixture, "{\"type\":\"exit\",\"streamId\":500,\"exitCode\":0}");
    assert_int_equal(fixture->at_client.frame_count, 1);
    assert_int_equal(fixture->relay.streams_by_id.count, 0);
}

static void an_exec_that_asks_for_no_stream_opens_none(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = RUNS;
    ask(fixture, "{\"id\":\"a\",\"type\":\"exec\",\"streamId\":500}");
    wait_for(fixture, client_has_text);
    assert_string_equal(fixture->at_agent.text,
                        "{\"id\":\"1\",\"type\":\"exec\",\"streamId\":500}");
    assert_int_equal(fixture->relay.streams_by_id.count, 0);
}

static void a_stream_needs_an_id_that_is_free(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "{\"id\":\"a\",\"type\":\"dial\",\"port\":80}");
    wait_for_error(fixture, "\"a\"", "invalid_message");
    ask(fixture, "{\"id\":\"a\",\"type\":\"dial\",\"streamId\":0}");
    wait_for_error(fixture, "\"a\"", "invalid_message");
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    ask(fixture, "{\"id\":\"b\",\"type\":\"dial\",\"streamId\":500}");
    wait_for_error(fixture, "\"b\"", "stream_in_use");
    send_frame(fixture, 500, STREAM_RESET, (struct view){0});
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    assert_int_equal(fixture->relay.streams_by_id.count, 1);
}

static void only_so_many_streams_are_open_on_one_socket(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    fixture->answer = "\"type\":\"dialResponse\"";
    for (int i = 1; i <= CLIENT_STREAMS_MAX; i++) {
        (void)snprintf(text, sizeof text, "{\"id\":\"%d\",\"type\":\"dial\",\"streamId\":%d}", i,
                       i);
        ask(fixture, text);
        wait_for(fixture, client_has_text);
        fixture->at_client.texts = 0;
    }
    ask(fixture, "{\"id\":\"more\",\"type\":\"dial\",\"streamId\":1000}");
    wait_for_error(fixture, "\"more\"", "busy");
}

static void bytes_and_windows_go_both_ways(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    send_frame(fixture, 500, STREAM_DATA, VIEW("ping"));
    send_frame(fixture, 500, STREAM_FIN, (struct view){0});
    agent_send_window(&fixture->stage, 1, 77);
    wait_for(fixture, client_has_frame);
    assert_int_equal(fixture->at_client.frames[0].id, 500);
    assert_int_equal(fixture->at_client.frames[0].window, 77);
    assert_int_equal(fixture->at_agent.bytes, 4);
    assert_int_equal(fixture->at_agent.frames[1].kind, STREAM_FIN);
    agent_send(&fixture->stage, 1, STREAM_FIN, (struct view){0});
    fixture->at_client.frame_count = 0;
    wait_for(fixture, client_has_frame);
    assert_int_equal(fixture->at_client.frames[0].kind, STREAM_FIN);
    assert_int_equal(fixture->relay.streams_by_id.count, 0);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->at_client.frame_count, 1);
    assert_int_equal(fixture->at_agent.frame_count, 2);
}

static void a_client_that_sends_more_than_was_granted_is_closed(void **state)
{
    static char data[STREAM_WINDOW_INITIAL + 1];
    struct fixture *fixture = *state;
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    send_frame(fixture, 500, STREAM_DATA, (struct view){data, STREAM_WINDOW_INITIAL});
    send_frame(fixture, 500, STREAM_DATA, (struct view){data, 1});
    turn_until(loop_of(fixture), &fixture->client_closed);
    assert_int_equal(fixture->client_close_code, WS_CLOSE_POLICY);
    turn_until(loop_of(fixture), &fixture->server_closed);
    turn_for(loop_of(fixture), 50);
    assert_int_equal(fixture->at_agent.bytes, STREAM_WINDOW_INITIAL);
    assert_false(fixture->stage.agent_closed);
}

static void a_client_whose_windows_lead_too_far_is_closed(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    send_window(fixture, 500, STREAM_CREDIT_MAX);
    turn_until(loop_of(fixture), &fixture->client_closed);
    assert_int_equal(fixture->client_close_code, WS_CLOSE_POLICY);
}

static void a_message_that_is_no_frame_closes_the_socket(void **state)
{
    struct fixture *fixture = *state;
    send_frame(fixture, 1, (enum stream_kind)7, VIEW("?"));
    turn_until(loop_of(fixture), &fixture->client_closed);
    assert_int_equal(fixture->client_close_code, WS_CLOSE_PROTOCOL);
}

static void output_of_a_process_does_not_come_from_clients(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "exec", RUNS);
    send_frame(fixture, 500, STREAM_STDOUT, VIEW("?"));
    turn_until(loop_of(fixture), &fixture->client_closed);
    assert_int_equal(fixture->client_close_code, WS_CLOSE_PROTOCOL);
    turn_until(loop_of(fixture), &fixture->server_closed);
    assert_false(fixture->stage.agent_closed);
}

static void bytes_of_a_stream_that_is_not_open_are_answered_with_a_reset(void **state)
{
    struct fixture *fixture = *state;
    send_window(fixture, 9, 1);
    send_frame(fixture, 9, STREAM_RESET, (struct view){0});
    send_frame(fixture, 9, STREAM_DATA, VIEW("x"));
    wait_for(fixture, client_has_frame);
    assert_int_equal(fixture->at_client.frames[0].id, 9);
    assert_int_equal(fixture->at_client.frames[0].kind, STREAM_RESET);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->at_client.frame_count, 1);
    assert_false(fixture->client_closed);
}

static void a_reset_of_either_side_reaches_the_other(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "download", "\"type\":\"downloadResponse\"");
    send_frame(fixture, 500, STREAM_RESET, (struct view){0});
    wait_for(fixture, agent_has_frame);
    assert_int_equal(fixture->at_agent.frames[0].kind, STREAM_RESET);
    open_stream(fixture, "download", "\"type\":\"downloadResponse\"");
    agent_send(&fixture->stage, fixture->stream_id, STREAM_RESET, VIEW("file_changed"));
    wait_for(fixture, client_has_frame);
    assert_int_equal(fixture->at_client.frames[0].id, 500);
    assert_string_equal(fixture->at_client.code, "file_changed");
}

static void a_request_whose_stream_is_reset_is_answered_all_the_same(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "{\"id\":\"a\",\"type\":\"upload\",\"streamId\":1}");
    wait_for(fixture, agent_has_text);
    send_frame(fixture, 1, STREAM_RESET, (struct view){0});
    wait_for_error(fixture, "\"a\"", "reset");
    ask(fixture, "{\"id\":\"b\",\"type\":\"upload\",\"streamId\":1}");
    fixture->at_agent.texts = 0;
    wait_for(fixture, agent_has_text);
    agent_send(&fixture->stage, fixture->stream_id, STREAM_RESET, VIEW("no_space"));
    wait_for_error(fixture, "\"b\"", "no_space");
    assert_int_equal(fixture->relay.unanswered, 0);
    assert_int_equal(fixture->relay.streams_by_id.count, 0);
}

static void an_upload_is_over_with_its_answer(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "upload", "\"type\":\"uploadResponse\",\"path\":\"/a\"");
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->relay.streams_by_id.count, 0);
    assert_int_equal(fixture->relay.unanswered, 0);
    assert_int_equal(fixture->at_client.frame_count, 0);
    assert_int_equal(fixture->at_agent.frame_count, 0);
}

static void a_watch_is_ended_by_unwatch(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "watch", "\"type\":\"watchResponse\"");
    ask(fixture, "{\"id\":\"b\",\"type\":\"unwatch\",\"streamId\":501}");
    wait_for_error(fixture, "\"b\"", "stream_not_open");
    ask(fixture, "{\"id\":\"b\",\"type\":\"unwatch\",\"streamId\":500}");
    wait_for_text(fixture, "{\"id\":\"b\",\"type\":\"unwatchResponse\",\"streamId\":500}");
    wait_for(fixture, agent_has_frame);
    assert_int_equal(fixture->at_agent.frames[0].kind, STREAM_RESET);
    agent_say(&fixture->stage, "{\"type\":\"watchEvent\",\"streamId\":1}");
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->at_client.texts, 0);
}

static void a_process_of_a_lost_agent_exits_for_the_client(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "exec", RUNS);
    fixture->stage.sandbox_ended = true;
    agent_vanish(&fixture->stage);
    wait_for_text(fixture, "{\"type\":\"exit\",\"streamId\":500,\"pid\":7,\"exitCode\":null,"
                           "\"signal\":null,\"reason\":\"sandbox_gone\",\"durationMs\":null}");
    assert_int_equal(fixture->relay.streams_by_id.count, 0);
}

static void other_streams_of_a_lost_agent_are_reset_and_requests_fail(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    fixture->answer = NULL;
    ask(fixture, "{\"id\":\"b\",\"type\":\"attach\",\"streamId\":2}");
    wait_for(fixture, agent_has_text);
    fixture->stage.sandbox_ended = true;
    agent_vanish(&fixture->stage);
    wait_for_error(fixture, "\"b\"", "sandbox_gone");
    wait_for(fixture, client_has_frame);
    assert_int_equal(fixture->at_client.frames[0].id, 500);
    assert_string_equal(fixture->at_client.code, "sandbox_gone");
}

static void everything_ends_when_the_sandbox_is_known_to_be_gone(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    open_stream(fixture, "exec", RUNS);
    fixture->answer = NULL;
    ask(fixture, "{\"id\":\"b\",\"type\":\"ps\"}");
    wait_for(fixture, agent_has_text);
    err_set_reason(&err, ERR_CONFLICT, "sandbox_gone", "it has ended");
    client_relay_fail(&fixture->relay, &err);
    assert_int_equal(fixture->relay.unanswered, 0);
    assert_int_equal(fixture->relay.streams_by_id.count, 0);
    fixture->at_client.texts = 0;
    wait_for(fixture, client_has_text);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->at_client.texts, 2);
}

static void the_streams_of_a_client_that_leaves_are_closed(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "exec", RUNS);
    ws_socket_free(fixture->client);
    fixture->client = NULL;
    turn_until(loop_of(fixture), &fixture->server_closed);
    wait_for(fixture, agent_has_frame);
    assert_int_equal(fixture->at_agent.frames[0].kind, STREAM_RESET);
}

static void an_exec_in_a_session_has_a_word_for_its_repeats(void **state)
{
    struct fixture *fixture = *state;
    (void)snprintf(fixture->relay.scope, sizeof fixture->relay.scope, "me/there");
    open_stream(fixture, "exec", RUNS);
    assert_string_equal(fixture->at_agent.text,
                        "{\"once\":\"me/there/a\",\"id\":\"1\",\"type\":\"exec\",\"stream\":true,"
                        "\"streamId\":1}");
    ask(fixture, "{\"type\":\"exec\",\"id\":\"b\"}");
    wait_for(fixture, client_has_text);
    assert_string_equal(fixture->at_agent.text,
                        "{\"type\":\"exec\",\"once\":\"me/there/b\",\"id\":\"2\"}");
    fixture->at_client.texts = 0;
    ask(fixture, "{\"type\":\"read\",\"id\":\"c\"}");
    wait_for(fixture, client_has_text);
    assert_string_equal(fixture->at_agent.text, "{\"type\":\"read\",\"id\":\"3\"}");
}

static void that_word_is_not_for_clients(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "{\"id\":\"a\",\"type\":\"exec\",\"once\":\"x\"}");
    wait_for_error(fixture, "\"a\"", "invalid_message");
}

static void flood(struct fixture *fixture, size_t bytes)
{
    static char data[STREAM_PAYLOAD_MAX];
    while (bytes > 0) {
        size_t len = bytes < sizeof data ? bytes : sizeof data;
        agent_send(&fixture->stage, fixture->stream_id, STREAM_STDOUT, (struct view){data, len});
        bytes -= len;
    }
}

/* The agent's side of the credit: sends whatever it may. */
static void send_what_is_granted(struct fixture *fixture, size_t *granted)
{
    for (int quiet = 0; quiet < 5; quiet++) {
        turn_for(loop_of(fixture), 10);
        size_t windows = 0;
        assert_in_range(fixture->at_agent.frame_count, 0, HEARD_MAX);
        for (int i = 0; i < fixture->at_agent.frame_count; i++) {
            windows += fixture->at_agent.frames[i].window;
        }
        fixture->at_agent.frame_count = 0;
        if (windows > 0) {
            quiet = 0;
            *granted += windows;
            flood(fixture, windows);
        }
    }
}

static void a_client_that_grants_much_and_does_not_read_is_not_waited_for_in_memory(void **state)
{
    enum { MUCH = 32 * MEBIBYTE };
    struct fixture *fixture = *state;
    size_t granted = STREAM_WINDOW_INITIAL;
    open_stream(fixture, "exec", RUNS);
    send_window(fixture, 500, MUCH);
    turn_for(loop_of(fixture), 20);
    (void)bufferevent_disable(fixture->client_bev, EV_READ);
    flood(fixture, STREAM_WINDOW_INITIAL);
    send_what_is_granted(fixture, &granted);
    assert_in_range(granted, MEBIBYTE, 4 * MEBIBYTE);
    assert_in_range(ws_backlog(fixture->server), 1,
                    CLIENT_BACKLOG_SOFT + 2 * STREAM_WINDOW_INITIAL);
    (void)bufferevent_enable(fixture->client_bev, EV_READ);
    send_what_is_granted(fixture, &granted);
    assert_int_equal(granted, MUCH + STREAM_WINDOW_INITIAL);
    assert_int_equal(fixture->at_client.bytes, granted);
    assert_false(fixture->stage.agent_closed);
}

static void a_small_grant_of_a_client_is_passed_on(void **state)
{
    struct fixture *fixture = *state;
    open_stream(fixture, "exec", RUNS);
    flood(fixture, STREAM_WINDOW_INITIAL);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->at_client.bytes, STREAM_WINDOW_INITIAL);
    send_window(fixture, 500, 3);
    wait_for(fixture, agent_has_frame);
    assert_int_equal(fixture->at_agent.frames[0].window, 3);
}

static void ignore_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    (void)reply;
    (void)err;
    (void)arg;
}

static void a_client_waits_while_the_agent_has_too_many_requests(void **state)
{
    struct fixture *fixture = *state;
    const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"x\"}")};
    struct hub *hub = fixture->stage.gateway.hub;
    struct hub_call *calls[HUB_CALLS_MAX];
    struct err err = {0};
    for (int i = 0; i < HUB_CALLS_MAX; i++) {
        calls[i] = hub_call_begin(hub, STAGE_SANDBOX_ID, &message, 0, ignore_reply, NULL, &err);
        assert_non_null(calls[i]);
    }
    turn_for(loop_of(fixture), 50);
    fixture->at_agent.texts = 0;
    fixture->answer = "\"type\":\"psResponse\"";
    ask(fixture, "{\"id\":\"a\",\"type\":\"ps\"}");
    ask(fixture, "{\"id\":\"b\",\"type\":\"ps\"}");
    turn_for(loop_of(fixture), 50);
    assert_int_equal(fixture->at_agent.texts, 0);
    assert_int_equal(fixture->at_client.texts, 0);
    for (int i = 0; i < HUB_CALLS_MAX; i++) {
        hub_call_cancel(calls[i]);
    }
    turn_for(loop_of(fixture), 50);
    assert_int_equal(fixture->at_agent.texts, 2);
    assert_int_equal(fixture->at_client.texts, 2);
    assert_string_equal(fixture->at_client.text,
                        "{\"id\":\"b\",\"streamId\":0,\"type\":\"psResponse\"}");
}

static void a_client_waits_while_the_agent_does_not_read(void **state)
{
    static char data[STREAM_PAYLOAD_MAX];
    enum { MUCH = 24 * MEBIBYTE };
    struct fixture *fixture = *state;
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    agent_send_window(&fixture->stage, 1, MUCH);
    wait_for(fixture, client_has_frame);
    agent_set_reading(&fixture->stage, false);
    for (size_t sent = 0; sent < MUCH; sent += sizeof data) {
        send_frame(fixture, 500, STREAM_DATA, (struct view){data, sizeof data});
    }
    turn_for(loop_of(fixture), 200);
    assert_false(hub_takes_bytes(fixture->stage.gateway.hub, STAGE_SANDBOX_ID));
    assert_in_range(ws_backlog(fixture->client), MUCH / 2, MUCH);
    agent_set_reading(&fixture->stage, true);
    turn_for(loop_of(fixture), 500);
    assert_int_equal(fixture->at_agent.bytes, MUCH);
    assert_false(fixture->client_closed);
}

static void a_client_that_waits_hears_of_a_lost_agent(void **state)
{
    static char data[STREAM_PAYLOAD_MAX];
    enum { MUCH = 8 * MEBIBYTE };
    struct fixture *fixture = *state;
    open_stream(fixture, "dial", "\"type\":\"dialResponse\"");
    agent_send_window(&fixture->stage, 1, MUCH);
    wait_for(fixture, client_has_frame);
    agent_set_reading(&fixture->stage, false);
    for (size_t sent = 0; sent < MUCH; sent += sizeof data) {
        send_frame(fixture, 500, STREAM_DATA, (struct view){data, sizeof data});
    }
    ask(fixture, "{\"id\":\"b\",\"type\":\"ps\"}");
    turn_for(loop_of(fixture), 100);
    fixture->stage.sandbox_ended = true;
    agent_vanish(&fixture->stage);
    wait_for_error(fixture, "\"b\"", "agent_lost");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_comes_back_with_the_id_of_the_client),
        TEST(what_is_no_request_is_answered_with_an_error),
        TEST(a_stream_has_an_id_of_its_own_on_each_side),
        TEST(an_exec_that_asks_for_no_stream_opens_none),
        TEST(a_stream_needs_an_id_that_is_free),
        TEST(only_so_many_streams_are_open_on_one_socket),
        TEST(bytes_and_windows_go_both_ways),
        TEST(a_client_that_sends_more_than_was_granted_is_closed),
        TEST(a_client_whose_windows_lead_too_far_is_closed),
        TEST(a_message_that_is_no_frame_closes_the_socket),
        TEST(output_of_a_process_does_not_come_from_clients),
        TEST(bytes_of_a_stream_that_is_not_open_are_answered_with_a_reset),
        TEST(a_reset_of_either_side_reaches_the_other),
        TEST(a_request_whose_stream_is_reset_is_answered_all_the_same),
        TEST(an_upload_is_over_with_its_answer),
        TEST(a_watch_is_ended_by_unwatch),
        TEST(a_process_of_a_lost_agent_exits_for_the_client),
        TEST(other_streams_of_a_lost_agent_are_reset_and_requests_fail),
        TEST(everything_ends_when_the_sandbox_is_known_to_be_gone),
        TEST(the_streams_of_a_client_that_leaves_are_closed),
        TEST(an_exec_in_a_session_has_a_word_for_its_repeats),
        TEST(that_word_is_not_for_clients),
        TEST(a_client_that_grants_much_and_does_not_read_is_not_waited_for_in_memory),
        TEST(a_small_grant_of_a_client_is_passed_on),
        TEST(a_client_waits_while_the_agent_has_too_many_requests),
        TEST(a_client_waits_while_the_agent_does_not_read),
        TEST(a_client_that_waits_hears_of_a_lost_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
