/* A client and an agent that say anything, in any order, about requests and streams: the gateway
 * between them must not break, nor leave anything behind. The input is records: an action, a
 * length, and so many bytes. */
#include "common/base/log.h"
#include "common/contracts/auth.h"
#include "common/contracts/stream.h"
#include "common/ipc/client.h"
#include "common/json/scan.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/hub/arrival.h"
#include "gateway/native/client_relay.h"

#include <assert.h>
#include <event2/bufferevent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SANDBOX_ID "33333333-3333-4333-8333-333333333333"

enum { TURNS = 4, TEXT_MAX = 512, FRAME_HEAD = 2, RECORDS_MAX = 64 };

enum action {
    CLIENT_TEXT,
    CLIENT_ASKS,  /* for a stream: the type, the stream's id */
    CLIENT_FRAME, /* id, kind, payload */
    CLIENT_LEAVES,
    AGENT_TEXT,
    AGENT_ANSWERS, /* its last request: the type */
    AGENT_FRAME,
    AGENT_LEAVES,
    ACTIONS,
};

static const char *const requests[] = {"exec", "attach", "upload", "download", "dial", "watch"};
static const char *const answers[] = {
    "execResponse", "attachResponse", "uploadResponse", "downloadResponse",
    "dialResponse", "watchResponse",  "error"};

static struct gateway gateway;
static struct gateway_config config;
static struct ws_socket *agent; /* the far ends */
static struct ws_socket *client;
static struct ws_socket *server;
static struct client_relay relay;
static char last_id[32];
static uint32_t last_stream;

static void say(struct ws_socket *socket, enum ws_opcode opcode, struct view bytes)
{
    struct err err;
    if (socket != NULL && !ws_send(socket, opcode, &bytes, 1, &err)) {
        return; /* It is closing. */
    }
}

static void on_agent_message(enum ws_opcode opcode, struct view message, void *arg)
{
    (void)arg;
    struct json_envelope envelope;
    struct stream_frame frame;
    struct err err;
    if (opcode == WS_BINARY) {
        assert(stream_frame_read(message, &frame, &err));
        assert(frame.kind != STREAM_STDOUT && frame.kind != STREAM_STDERR);
        return;
    }
    assert(json_scan_envelope(message, &envelope, &err));
    assert(view_copy(envelope.id, last_id, sizeof last_id));
    last_stream = envelope.stream_id;
    if (view_equal(envelope.type, VIEW("configure"))) {
        say(agent, WS_TEXT, VIEW("{\"id\":\"configure\",\"type\":\"configureResponse\"}"));
    }
}

static void on_agent_closed(int code, void *arg)
{
    (void)code;
    (void)arg;
    ws_socket_free(agent);
    agent = NULL;
}

static void on_client_message(enum ws_opcode opcode, struct view message, void *arg)
{
    (void)arg;
    struct stream_frame frame;
    struct err err;
    assert(opcode == WS_BINARY ? stream_frame_read(message, &frame, &err)
                               : json_scan(message, NULL, NULL, &err));
}

static void on_client_closed(int code, void *arg)
{
    (void)code;
    (void)arg;
    ws_socket_free(client);
    client = NULL;
}

static void on_server_message(enum ws_opcode opcode, struct view message, void *arg)
{
    (void)arg;
    client_relay_take(&relay, opcode, message);
}

static void on_server_closed(int code, void *arg)
{
    (void)code;
    (void)arg;
    client_relay_close(&relay);
    ws_socket_free(server);
    server = NULL;
}

static void on_server_drained(void *arg)
{
    (void)arg;
    client_relay_on_drained(&relay);
}

static void on_answered(void *arg)
{
    (void)arg;
}

static void turn(void)
{
    for (int i = 0; i < TURNS; i++) {
        (void)event_base_loop(loop_base(gateway.loop), EVLOOP_NONBLOCK);
    }
}

static void make_pair(struct bufferevent *pair[2])
{
    assert(bufferevent_pair_new(loop_base(gateway.loop), BEV_OPT_DEFER_CALLBACKS, pair) == 0);
}

static void connect_agent(void)
{
    static const struct ws_events events = {.on_message = on_agent_message,
                                            .on_closed = on_agent_closed};
    struct bufferevent *pair[2];
    struct err err;
    struct str configure = STR_INIT(TEXT_MAX);
    str_append_string(&configure, "{\"id\":\"configure\",\"type\":\"configure\"}");
    make_pair(pair);
    hub_adopt(gateway.hub, SANDBOX_ID, pair[0], &configure);
    agent =
        ws_socket_new(gateway.loop, WS_CLIENT, pair[1], &ws_answering_limits, &events, NULL, &err);
    assert(agent != NULL);
    say(agent, WS_TEXT, VIEW("{\"type\":\"hello\",\"protocol\":1,\"version\":\"fuzz\"}"));
    turn();
}

static void connect_client(void)
{
    static const struct ws_events server_events = {on_server_message, on_server_closed,
                                                   on_server_drained};
    static const struct ws_events client_events = {.on_message = on_client_message,
                                                   .on_closed = on_client_closed};
    struct bufferevent *pair[2];
    struct err err;
    relay = (struct client_relay){.scopes = AUTH_SCOPES_ALL};
    assert(client_relay_open(&relay, gateway.hub, SANDBOX_ID, on_answered, NULL, &err));
    make_pair(pair);
    server =
        ws_socket_new(gateway.loop, WS_SERVER, pair[0], &client_limits, &server_events, NULL, &err);
    relay.socket = server;
    client = ws_socket_new(gateway.loop, WS_CLIENT, pair[1], &ws_default_limits, &client_events,
                           NULL, &err);
    assert(server != NULL && client != NULL);
}

static void drop_client(void)
{
    client_relay_close(&relay);
    ws_socket_free(server);
    ws_socket_free(client);
    server = NULL;
    client = NULL;
}

static void drop_agent(void)
{
    ws_socket_free(agent);
    agent = NULL;
}

static void send_frame(struct ws_socket *socket, struct view record)
{
    char bytes[STREAM_HEADER_SIZE + UINT8_MAX];
    if (record.len < FRAME_HEAD) {
        say(socket, WS_BINARY, record);
        return;
    }
    struct view payload = view_from(record, FRAME_HEAD);
    stream_header_write((unsigned char)record.ptr[0], (enum stream_kind)record.ptr[1], bytes);
    memcpy(bytes + STREAM_HEADER_SIZE, payload.ptr, payload.len);
    say(socket, WS_BINARY, (struct view){bytes, STREAM_HEADER_SIZE + payload.len});
}

static unsigned byte_of(struct view record, size_t at)
{
    return at < record.len ? (unsigned char)record.ptr[at] : 0;
}

static void ask(struct view record)
{
    char text[TEXT_MAX];
    unsigned type = byte_of(record, 0) % (sizeof requests / sizeof requests[0]);
    (void)snprintf(text, sizeof text,
                   "{\"id\":\"a\",\"streamId\":%u,\"type\":\"%s\",\"stream\":true}",
                   byte_of(record, 1), requests[type]);
    say(client, WS_TEXT, view_of(text));
}

static void answer(struct view record)
{
    char text[TEXT_MAX];
    unsigned type = byte_of(record, 0) % (sizeof answers / sizeof answers[0]);
    (void)snprintf(text, sizeof text, "{\"type\":\"%s\",\"streamId\":%u,\"id\":\"%s\",\"pid\":7}",
                   answers[type], last_stream, last_id);
    say(agent, WS_TEXT, view_of(text));
}

static void act(enum action action, struct view record)
{
    switch (action) {
    case CLIENT_TEXT:
        say(client, WS_TEXT, record);
        break;
    case CLIENT_ASKS:
        ask(record);
        break;
    case CLIENT_FRAME:
        send_frame(client, record);
        break;
    case CLIENT_LEAVES:
        drop_client();
        connect_client();
        break;
    case AGENT_TEXT:
        say(agent, WS_TEXT, record);
        break;
    case AGENT_ANSWERS:
        answer(record);
        break;
    case AGENT_FRAME:
        send_frame(agent, record);
        break;
    case AGENT_LEAVES:
        drop_agent();
        turn();
        connect_agent();
        break;
    case ACTIONS:
        break;
    }
}

static char folder[] = "/tmp/insien-fuzz-XXXXXX";

static void remove_folder(void)
{
    char path[sizeof folder + 16];
    (void)snprintf(path, sizeof path, "%s/agents", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

static void open_gateway(void)
{
    char path[sizeof folder + 16];
    struct err err;
    log_open("fuzz", LOG_ERROR);
    assert(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
    (void)snprintf(path, sizeof path, "%s/agents", folder);
    assert(mkdir(path, S_IRWXU) == 0);
    (void)snprintf(config.run_dir, sizeof config.run_dir, "%s", folder);
    (void)snprintf(path, sizeof path, "ipc://%s/none", folder);
    gateway.config = &config;
    gateway.loop = loop_new(&err);
    assert(gateway.loop != NULL);
    gateway.sandbox_service = ipc_client_open(gateway.loop, path, "sandbox-service", &err);
    gateway.sandboxes = sandbox_cache_new(gateway.sandbox_service, &err);
    assert(gateway.sandbox_service != NULL && gateway.sandboxes != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    if (gateway.loop == NULL) {
        open_gateway();
    }
    gateway.hub = hub_new(&gateway, &err);
    assert(gateway.hub != NULL);
    connect_agent();
    connect_client();
    for (int i = 0; i < RECORDS_MAX && size >= 2; i++) {
        enum action action = (enum action)(data[0] % ACTIONS);
        size_t len = data[1] < size - 2 ? data[1] : size - 2;
        act(action, (struct view){(const char *)data + 2, len});
        turn();
        data += 2 + len;
        size -= 2 + len;
    }
    drop_client();
    drop_agent();
    hub_free(gateway.hub);
    turn();
    return 0;
}
