#include "tests/unit/gateway/preview/stage.h"

#include "common/contracts/ports.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/native/routes.h"
#include "tests/support/turn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GENERATION "44444444-4444-4444-8444-444444444444"
#define USER_ID "11111111-1111-4111-8111-111111111111"
#define TIME "2026-01-31T23:59:59.123Z"

enum { HEARD_MAX = 16 * 1024 * 1024 };

static const char secret[] = "a secret of this test, of 32 bytes or more";

static void serve_ports(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct stage *stage = arg;
    char answer[512];
    const char *generation = stage->generation == NULL ? GENERATION : stage->generation;
    stage->answers_ports++;
    if (stage->nowhere) {
        struct err err = {0};
        err_set_reason(&err, ERR_NOT_FOUND, "sandbox_not_found", "no such sandbox");
        ipc_reply_error(exchange, &err);
        return;
    }
    (void)snprintf(answer, sizeof answer,
                   "{\"userId\":\"" USER_ID "\",\"ports\":[\"3000 0 %s %s " TIME
                   "\",\"4000 0 token %s " TIME "\"],\"isLive\":true}",
                   stage->visibility == NULL ? PORT_PUBLIC : stage->visibility, generation,
                   generation);
    if (stage->on_asked != NULL) {
        stage->on_asked(stage);
    }
    if (stage->ended) {
        ipc_reply_ok(exchange, VIEW("{\"userId\":\"" USER_ID "\",\"ports\":[],\"isLive\":false}"));
        return;
    }
    ipc_reply_ok(exchange, stage->unexposed
                               ? VIEW("{\"userId\":\"" USER_ID "\",\"ports\":[],\"isLive\":true}")
                               : view_of(answer));
}

static const struct ipc_method methods[] = {{PORT_LIST, serve_ports}};

static struct dialled *find_dial(struct stage *stage, uint32_t id)
{
    for (size_t i = stage->dial_count; i > 0; i--) {
        if (stage->dials[i - 1].id == id) {
            return &stage->dials[i - 1];
        }
    }
    fail_msg("no stream %u was opened", id);
    return NULL;
}

static int port_of(struct view text)
{
    static const char member[] = "\"port\":";
    char copy[256];
    assert_true(view_copy(text, copy, sizeof copy));
    const char *at = strstr(copy, member);
    assert_non_null(at);
    return (int)strtol(at + sizeof member - 1, NULL, 10);
}

static void on_text(struct view text, const struct json_envelope *envelope, void *arg)
{
    struct stage *stage = arg;
    char id[65];
    assert_true(view_equal(envelope->type, VIEW("dial")));
    assert_true(view_copy(envelope->id, id, sizeof id));
    assert_true(stage->dial_count < DIALS_MAX);
    stage->dials[stage->dial_count++] = (struct dialled){
        .id = envelope->stream_id, .port = port_of(text), .heard = STR_INIT(HEARD_MAX)};
    if (stage->dial_error != NULL) {
        agent_say(&stage->agent,
                  "{\"id\":\"%s\",\"type\":\"error\",\"error\":\"no\",\"code\":\"%s\"}", id,
                  stage->dial_error);
    } else {
        agent_say(&stage->agent, "{\"id\":\"%s\",\"type\":\"dialResponse\",\"streamId\":%u}", id,
                  envelope->stream_id);
    }
}

static void on_frame(const struct stream_frame *frame, void *arg)
{
    struct stage *stage = arg;
    struct dialled *dialled = find_dial(stage, frame->id);
    switch (frame->kind) {
    case STREAM_DATA:
        str_append_view(&dialled->heard, frame->payload);
        if (!stage->withhold_credit && frame->payload.len > 0) {
            agent_send_window(&stage->agent, frame->id, (uint32_t)frame->payload.len);
        }
        break;
    case STREAM_WINDOW:
        dialled->granted += frame->window;
        break;
    case STREAM_FIN:
        dialled->fin = true;
        break;
    case STREAM_RESET:
        dialled->reset = true;
        break;
    default:
        fail_msg("kind %d on a connection", frame->kind);
    }
}

static bool is_preview(const struct http_head *head, void *arg)
{
    const struct stage *stage = arg;
    return preview_is_for(stage->preview, head);
}

/* The API answers "native". */
static void on_request(struct http_exchange *exchange, void *arg)
{
    struct stage *stage = arg;
    if (!preview_handle(stage->preview, exchange)) {
        const struct http_response response = {.status = 200, .body = VIEW("native")};
        http_respond(exchange, &response);
    }
}

static void on_ports(const struct exposed_ports *ports, const struct err *err, void *arg)
{
    struct stage *stage = arg;
    struct err failure = {0};
    assert_null(err);
    assert_true(exposed_token_write(stage->exposed, STAGE_SANDBOX_ID, exposed_port_of(ports, 4000),
                                    stage->token, &failure));
}

static bool has_token(void *arg)
{
    const struct stage *stage = arg;
    return stage->token[0] != '\0';
}

static void open_ports(struct stage *stage)
{
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 32];
    struct loop *loop = stage->agent.gateway.loop;
    (void)snprintf(url, sizeof url, "ipc://%s/ports.sock", stage->agent.folder);
    stage->ports_service = ipc_server_open(loop, url, (uid_t)-1, methods, 1, stage, &err);
    stage->ports_client = ipc_client_open(loop, url, "sandbox-service", &err);
    stage->exposed = exposed_cache_new(stage->ports_client, secret, &err);
    assert_non_null(stage->exposed);
    exposed_set_trusted(stage->exposed, true);
    assert_non_null(
        exposed_fetch_begin(stage->exposed, STAGE_SANDBOX_ID, NULL, on_ports, stage, &err));
    turn_until_true(loop, has_token, stage);
    exposed_forget(stage->exposed, STAGE_SANDBOX_ID);
}

void stage_open(struct stage *stage)
{
    struct err err = {0};
    *stage = (struct stage){.agent = {.on_text = on_text, .on_frame = on_frame}};
    stage->agent.arg = stage;
    agent_stage_open(&stage->agent);
    open_ports(stage);
    struct loop *loop = stage->agent.gateway.loop;
    const struct preview_options options = {.loop = loop,
                                            .hub = stage->agent.gateway.hub,
                                            .exposed = stage->exposed,
                                            .domain = "localhost"};
    stage->preview = preview_new(&options, &err);
    assert_non_null(stage->preview);
    stage->http.loop = loop;
    stage->http.server = http_server_new(loop, &http_default_limits, on_request, &err);
    assert_non_null(stage->http.server);
    http_server_pass_raw_targets(stage->http.server, is_preview, stage);
    stage->http.listener = http_listen_tcp(stage->http.server, "127.0.0.1", 0, stage, &err);
    assert_non_null(stage->http.listener);
}

void stage_close(struct stage *stage)
{
    preview_free(stage->preview);
    stage->preview = NULL;
    http_server_free(stage->http.server);
    exposed_cache_free(stage->exposed);
    ipc_client_close(stage->ports_client);
    ipc_server_close(stage->ports_service);
    agent_stage_close(&stage->agent);
    for (size_t i = 0; i < stage->dial_count; i++) {
        str_free(&stage->dials[i].heard);
    }
}

void visit(struct client *client, struct stage *stage, const char *text)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_listener_port(stage->http.listener)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    client_adopt(client, &stage->http, fd);
    client_send(client, view_of(text));
}

void leave(struct client *client)
{
    const struct linger at_once = {.l_onoff = 1};
    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    client_close(client);
}

struct wait {
    struct stage *stage;
    size_t count;
    const struct dialled *dialled;
    struct view end;
};

static bool has_dials(void *arg)
{
    const struct wait *wait = arg;
    return wait->stage->dial_count >= wait->count;
}

struct dialled *wait_for_dial(struct stage *stage, size_t count)
{
    struct wait wait = {.stage = stage, .count = count};
    turn_until_true(stage->http.loop, has_dials, &wait);
    assert_int_equal(stage->dial_count, count);
    return &stage->dials[count - 1];
}

static bool has_heard(void *arg)
{
    const struct wait *wait = arg;
    struct view heard = str_view(&wait->dialled->heard);
    return heard.len >= wait->end.len &&
           view_equal(view_from(heard, heard.len - wait->end.len), wait->end);
}

void wait_for_heard(struct stage *stage, struct dialled *dialled, const char *end)
{
    struct wait wait = {.dialled = dialled, .end = view_of(end)};
    turn_until_true(stage->http.loop, has_heard, &wait);
}

void program_says_bytes(struct stage *stage, const struct dialled *dialled, struct view bytes)
{
    agent_send(&stage->agent, dialled->id, STREAM_DATA, bytes);
    fixture_settle(&stage->http);
}

void program_says(struct stage *stage, const struct dialled *dialled, const char *text)
{
    program_says_bytes(stage, dialled, view_of(text));
}

void program_closes(struct stage *stage, const struct dialled *dialled)
{
    agent_send(&stage->agent, dialled->id, STREAM_FIN, (struct view){0});
    fixture_settle(&stage->http);
}

void wait_for_flag(struct stage *stage, const bool *flag)
{
    turn_until(stage->http.loop, flag);
}

void wait_until_received(struct client *client, const char *part)
{
    for (int i = 0; i < 30000 && !view_has(str_view(&client->received), part); i++) {
        fixture_run(client->fixture, 1);
        client_receive(client);
    }
    if (!view_has(str_view(&client->received), part)) {
        fail_msg("not received: %s\nbut: %.*s", part, (int)client->received.len,
                 client->received.data == NULL ? "" : client->received.data);
    }
}

int stage_set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage_open(stage);
    *state = stage;
    return 0;
}

int stage_tear_down(void **state)
{
    stage_close(*state);
    free(*state);
    return 0;
}
