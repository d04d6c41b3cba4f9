#include "tests/unit/gateway/relay_stage.h"

#include "common/contracts/auth.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void hear_text(struct relay_heard *heard, struct view text)
{
    assert_true(view_copy(text, heard->text, sizeof heard->text));
    heard->texts++;
}

static void hear_frame(struct relay_heard *heard, const struct stream_frame *frame)
{
    int at = heard->frame_count % RELAY_HEARD_MAX;
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
    struct relay_stage *stage = arg;
    hear_text(&stage->at_agent, text);
    assert_true(view_copy(envelope->id, stage->request_id, sizeof stage->request_id));
    stage->stream_id = envelope->stream_id;
    if (stage->answer != NULL) {
        agent_say(&stage->agent, "{\"id\":\"%s\",\"streamId\":%u,%s}", stage->request_id,
                  stage->stream_id, stage->answer);
    }
}

static void on_agent_frame(const struct stream_frame *frame, void *arg)
{
    struct relay_stage *stage = arg;
    hear_frame(&stage->at_agent, frame);
}

static void on_server_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct relay_stage *stage = arg;
    client_relay_take(&stage->relay, opcode, message);
}

static void on_server_closed(int code, void *arg)
{
    (void)code;
    struct relay_stage *stage = arg;
    stage->server_closed = true;
    client_relay_close(&stage->relay);
    ws_socket_free(stage->server);
    stage->server = NULL;
}

static void on_server_drained(void *arg)
{
    struct relay_stage *stage = arg;
    client_relay_on_drained(&stage->relay);
}

static void on_client_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct relay_stage *stage = arg;
    struct stream_frame frame;
    struct err err = {0};
    if (opcode == WS_TEXT) {
        hear_text(&stage->at_client, message);
        return;
    }
    assert_true(stream_frame_read(message, &frame, &err));
    hear_frame(&stage->at_client, &frame);
}

static void on_client_closed(int code, void *arg)
{
    struct relay_stage *stage = arg;
    stage->client_closed = true;
    stage->client_close_code = code;
    ws_socket_free(stage->client);
    stage->client = NULL;
}

static void on_answered(void *arg)
{
    struct relay_stage *stage = arg;
    stage->answered++;
}

static struct bufferevent *wrap(struct relay_stage *stage, int fd)
{
    struct bufferevent *bev =
        bufferevent_socket_new(loop_base(stage->agent.gateway.loop), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(bev);
    return bev;
}

int relay_stage_open(void **state)
{
    static const struct ws_events server_events = {on_server_message, on_server_closed,
                                                   on_server_drained};
    static const struct ws_events client_events = {.on_message = on_client_message,
                                                   .on_closed = on_client_closed};
    struct relay_stage *stage = calloc(1, sizeof *stage);
    struct err err = {0};
    int fds[2];
    stage->agent.on_text = on_agent_text;
    stage->agent.on_frame = on_agent_frame;
    stage->agent.arg = stage;
    agent_stage_open(&stage->agent);
    struct loop *loop = stage->agent.gateway.loop;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    record_stage_open(&stage->records, loop, RECORD_ALL_DATA);
    stage->relay.scopes = AUTH_SCOPES_ALL;
    stage->relay.recorder = stage->records.recorder;
    assert_true(client_relay_open(&stage->relay, stage->agent.gateway.hub, STAGE_SANDBOX_ID,
                                  on_answered, stage, &err));
    stage->server = ws_socket_new(loop, WS_SERVER, wrap(stage, fds[0]), &client_limits,
                                  &server_events, stage, &err);
    stage->relay.socket = stage->server;
    stage->client_bev = wrap(stage, fds[1]);
    stage->client = ws_socket_new(loop, WS_CLIENT, stage->client_bev, &ws_default_limits,
                                  &client_events, stage, &err);
    assert_non_null(stage->server);
    assert_non_null(stage->client);
    *state = stage;
    return 0;
}

int relay_stage_close(void **state)
{
    struct relay_stage *stage = *state;
    client_relay_close(&stage->relay);
    ws_socket_free(stage->server);
    ws_socket_free(stage->client);
    record_stage_close(&stage->records);
    agent_stage_close(&stage->agent);
    free(stage);
    return 0;
}

struct loop *relay_loop(const struct relay_stage *stage)
{
    return stage->agent.gateway.loop;
}

void relay_ask(struct relay_stage *stage, const char *text)
{
    const struct view part = view_of(text);
    struct err err = {0};
    assert_true(ws_send(stage->client, WS_TEXT, &part, 1, &err));
}

void relay_send_frame(struct relay_stage *stage, uint32_t id, enum stream_kind kind,
                      struct view payload)
{
    char header[STREAM_HEADER_SIZE];
    struct err err = {0};
    stream_header_write(id, kind, header);
    const struct view parts[] = {{header, sizeof header}, payload};
    assert_true(ws_send(stage->client, WS_BINARY, parts, 2, &err));
}

void relay_send_window(struct relay_stage *stage, uint32_t id, uint32_t bytes)
{
    char window[STREAM_WINDOW_SIZE];
    stream_window_write(bytes, window);
    relay_send_frame(stage, id, STREAM_WINDOW, (struct view){window, sizeof window});
}

bool relay_client_has_text(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_client.texts > 0;
}

bool relay_client_has_frame(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_client.frame_count > 0;
}

bool relay_agent_has_text(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_agent.texts > 0;
}

bool relay_agent_has_frame(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->at_agent.frame_count > 0;
}

void relay_wait_for(struct relay_stage *stage, bool (*condition)(void *arg))
{
    turn_until_true(relay_loop(stage), condition, stage);
}

void relay_wait_for_text(struct relay_stage *stage, const char *text)
{
    relay_wait_for(stage, relay_client_has_text);
    assert_string_equal(stage->at_client.text, text);
    stage->at_client.texts = 0;
}

void relay_wait_for_error(struct relay_stage *stage, const char *id, const char *code)
{
    char head[128];
    char tail[128];
    (void)snprintf(head, sizeof head, "{\"id\":%s,\"type\":\"error\",", id);
    (void)snprintf(tail, sizeof tail, ",\"code\":\"%s\"}", code);
    relay_wait_for(stage, relay_client_has_text);
    const char *text = stage->at_client.text;
    stage->at_client.texts = 0;
    assert_true(strncmp(text, head, strlen(head)) == 0);
    assert_true(strlen(text) >= strlen(tail));
    assert_string_equal(text + strlen(text) - strlen(tail), tail);
}

static bool has_come_back(void *arg)
{
    static const char begin[] = "{\"id\":\"round-trip\",";
    const struct relay_stage *stage = arg;
    return strncmp(stage->at_client.text, begin, sizeof begin - 1) == 0;
}

void relay_round_trip(struct relay_stage *stage)
{
    const char *answer = stage->answer;
    uint32_t stream_id = stage->stream_id;
    int texts = stage->at_agent.texts;
    stage->answer = NULL;
    stage->at_agent.texts = 0;
    relay_ask(stage, "{\"id\":\"round-trip\",\"type\":\"ps\"}");
    relay_wait_for(stage, relay_agent_has_text);
    agent_say(&stage->agent, "{\"id\":\"%s\",\"type\":\"psResponse\"}", stage->request_id);
    relay_wait_for(stage, has_come_back);
    stage->at_client.texts--;
    stage->at_client.text[0] = '\0';
    stage->at_agent.texts += texts - 1;
    stage->answer = answer;
    stage->stream_id = stream_id;
}

void relay_open_stream(struct relay_stage *stage, const char *type, const char *answer)
{
    char text[RELAY_TEXT_SIZE];
    stage->answer = answer;
    (void)snprintf(text, sizeof text,
                   "{\"id\":\"a\",\"type\":\"%s\",\"stream\":true,\"streamId\":500}", type);
    relay_ask(stage, text);
    relay_wait_for(stage, relay_client_has_text);
    stage->at_client.texts = 0;
    stage->at_agent.texts = 0;
}
