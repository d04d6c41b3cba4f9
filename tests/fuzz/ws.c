/* Any bytes, cut anywhere, into a websocket of either role. The first two bytes choose the role,
 * what the owner does in on_message, and where the rest is cut. What comes out must be frames. */
#include "common/base/utf8.h"
#include "common/ws/header.h"

#include <assert.h>
#include <event2/buffer.h>

enum {
    CHOICE_CLIENT = 1,
    CHOICE_CLOSE = 2,
    CHOICE_FREE = 4,
    CHOICE_ECHO = 8,
    CHOICE_PAUSE = 16, /* each message comes twice */
    OP_CLOSE = 8,
    MESSAGE_MAX = 4096,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ws_limits limits = {
    .message_max = MESSAGE_MAX,
    .fragments_max = 8,
    .backlog_max = 1024,
    .backlog_hard_max = 8192,
    .stall_max_ms = 10000,
    .back_pressure = true,
    .pings_per_s_max = 20,
};
static struct loop *loop;
static struct ws_socket *ws;
static uint8_t choices;
static bool closed;
static bool gone; /* freed in on_message */
static bool paused;

static void on_message(enum ws_opcode opcode, struct view message, void *arg)
{
    (void)arg;
    struct err err;
    assert(!closed && !gone);
    assert(message.len <= MESSAGE_MAX);
    assert(opcode == WS_BINARY || (opcode == WS_TEXT && utf8_is_valid(message)));
    paused = (choices & CHOICE_PAUSE) != 0 && !paused;
    if (paused) {
        ws_pause(ws);
    }
    if ((choices & CHOICE_ECHO) != 0 && !ws_send(ws, opcode, &message, 1, &err)) {
        return;
    }
    if ((choices & CHOICE_CLOSE) != 0) {
        ws_close(ws, WS_CLOSE_NORMAL, "enough");
    }
    if ((choices & CHOICE_FREE) != 0) {
        ws_socket_free(ws);
        gone = true;
    }
}

static void on_closed(int code, void *arg)
{
    (void)arg;
    assert(!closed && !gone);
    assert(code >= 1000 && code <= 4999);
    closed = true;
}

static void turn(void)
{
    (void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

/* Takes whole frames out of output; none may follow a close frame. */
static void check_output(struct evbuffer *output, enum ws_role reader, bool *close_seen)
{
    for (;;) {
        char bytes[WS_HEADER_MAX];
        struct ws_header header;
        struct ws_breach breach;
        ev_ssize_t len = evbuffer_copyout(output, bytes, sizeof bytes);
        enum ws_header_state state =
            ws_header_read((struct view){bytes, (size_t)len}, reader, &header, &breach);
        assert(state != WS_HEADER_BAD);
        if (state == WS_HEADER_PARTIAL ||
            evbuffer_get_length(output) < header.header_len + header.payload_len) {
            return;
        }
        assert(!*close_seen && header.fin);
        *close_seen = header.opcode == OP_CLOSE;
        (void)evbuffer_drain(output, header.header_len + (size_t)header.payload_len);
    }
}

static void feed(struct bufferevent *peer, const uint8_t *data, size_t size, uint8_t cut,
                 enum ws_role reader)
{
    bool close_seen = false;
    uint32_t seed = cut;
    for (size_t at = 0; at < size;) {
        seed = seed * 1103515245U + 12345U;
        size_t piece = cut == 0 ? size : 1 + (seed >> 16U) % cut;
        piece = piece < size - at ? piece : size - at;
        (void)bufferevent_write(peer, data + at, piece);
        at += piece;
        turn();
        if (paused && !gone) {
            ws_resume(ws);
        }
        check_output(bufferevent_get_input(peer), reader, &close_seen);
    }
    turn();
    check_output(bufferevent_get_input(peer), reader, &close_seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ws_events events = {on_message, on_closed, NULL};
    struct err err;
    struct bufferevent *pair[2];
    if (size < 2) {
        return 0;
    }
    if (loop == NULL) {
        loop = loop_new(&err);
        assert(loop != NULL);
    }
    choices = data[0];
    closed = false;
    gone = false;
    paused = false;
    bool is_client = (choices & CHOICE_CLIENT) != 0;
    assert(bufferevent_pair_new(loop_base(loop), BEV_OPT_DEFER_CALLBACKS, pair) == 0);
    (void)bufferevent_enable(pair[1], EV_READ | EV_WRITE);
    ws = ws_socket_new(loop, is_client ? WS_CLIENT : WS_SERVER, pair[0], &limits, &events, NULL,
                       &err);
    assert(ws != NULL);
    feed(pair[1], data + 2, size - 2, data[1], is_client ? WS_SERVER : WS_CLIENT);
    if (!gone) {
        ws_socket_free(ws);
    }
    bufferevent_free(pair[1]);
    turn();
    return 0;
}
