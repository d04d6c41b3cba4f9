#include "tests/unit/ws/peer.h"

#include "common/base/clock.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <sys/socket.h>

enum { TURN_US = 20000, RECEIVED_MAX = 128 << 20 };

static void on_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct peer *peer = arg;
    peer->messages++;
    peer->last_opcode = opcode;
    str_clear(&peer->last);
    str_append_view(&peer->last, message);
    if (peer->on_message != NULL) {
        peer->on_message(peer);
    }
}

static void on_closed(int code, void *arg)
{
    struct peer *peer = arg;
    peer->closed++;
    peer->closed_code = code;
}

static void on_drained(void *arg)
{
    struct peer *peer = arg;
    peer->drained++;
}

const struct ws_events peer_events = {on_message, on_closed, on_drained};

void peer_open(struct peer *peer, enum ws_role role, const struct ws_limits *limits)
{
    peer_open_with_input(peer, role, limits, (struct view){0});
}

void peer_open_with_input(struct peer *peer, enum ws_role role, const struct ws_limits *limits,
                          struct view waiting)
{
    int fds[2];
    struct err err = {0};
    *peer = (struct peer){
        .role = role, .received = STR_INIT(RECEIVED_MAX), .last = STR_INIT(RECEIVED_MAX)};
    peer->loop = loop_new(&err);
    assert_non_null(peer->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peer->fd = fds[1];
    struct bufferevent *bev =
        bufferevent_socket_new(loop_base(peer->loop), fds[0], BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(bev);
    if (waiting.len > 0) {
        peer_write(peer, waiting);
        (void)bufferevent_enable(bev, EV_READ);
        while (evbuffer_get_length(bufferevent_get_input(bev)) < waiting.len) {
            peer_turn(peer, peer_deadline());
        }
    }
    peer->socket = ws_socket_new(peer->loop, role, bev, limits, &peer_events, peer, &err);
    assert_non_null(peer->socket);
    assert_int_equal(peer->messages, 0);
}

void peer_close(struct peer *peer)
{
    ws_socket_free(peer->socket);
    loop_free(peer->loop);
    (void)close(peer->fd);
    str_free(&peer->received);
    str_free(&peer->last);
}

void peer_write(struct peer *peer, struct view bytes)
{
    int64_t deadline_ms = peer_deadline();
    while (bytes.len > 0) {
        ssize_t sent = write(peer->fd, bytes.ptr, bytes.len);
        if (sent > 0) {
            bytes = view_from(bytes, (size_t)sent);
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        peer_turn(peer, deadline_ms);
    }
}

void peer_append_frame(struct str *out, bool masked, uint8_t first, struct view payload)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t mask_bit = masked ? 0x80 : 0;
    size_t extension = payload.len < 126 ? 0 : payload.len <= UINT16_MAX ? 2 : 8;
    str_append_char(out, (char)first);
    str_append_char(out, (char)(mask_bit | (extension == 0   ? payload.len
                                            : extension == 2 ? 126U
                                                             : 127U)));
    for (size_t i = extension; i > 0; i--) {
        str_append_char(out, (char)(payload.len >> (8 * (i - 1))));
    }
    if (masked) {
        str_append(out, mask, sizeof mask);
    }
    char *room = str_reserve(out, payload.len);
    assert_non_null(room);
    for (size_t i = 0; i < payload.len; i++) {
        room[i] = (char)(payload.ptr[i] ^ (masked ? mask[i % 4] : 0));
    }
    str_advance(out, payload.len);
}

void peer_send(struct peer *peer, uint8_t first, struct view payload)
{
    struct str bytes = STR_INIT(RECEIVED_MAX);
    peer_append_frame(&bytes, peer->role == WS_SERVER, first, payload);
    peer_write(peer, str_view(&bytes));
    str_free(&bytes);
}

int64_t peer_deadline(void)
{
    return clock_monotonic_ms() + PEER_WAIT_MS;
}

static void receive(struct peer *peer)
{
    char bytes[16384];
    ssize_t got;
    while ((got = read(peer->fd, bytes, sizeof bytes)) > 0) {
        str_append(&peer->received, bytes, (size_t)got);
    }
    peer->ended = got == 0 || errno != EAGAIN;
}

static void turn(struct peer *peer)
{
    const struct timeval wait = {.tv_usec = TURN_US};
    (void)event_base_loopexit(loop_base(peer->loop), &wait);
    (void)event_base_loop(loop_base(peer->loop), EVLOOP_ONCE);
}

void peer_turn(struct peer *peer, int64_t deadline_ms)
{
    assert_true(clock_monotonic_ms() < deadline_ms);
    turn(peer);
}

void peer_run_for(struct peer *peer, int64_t duration_ms)
{
    int64_t end_ms = clock_monotonic_ms() + duration_ms;
    while (clock_monotonic_ms() < end_ms) {
        turn(peer);
    }
}

static bool take_frame(struct peer *peer, struct peer_frame *frame)
{
    static struct str payload = STR_INIT(RECEIVED_MAX);
    struct view in = str_view(&peer->received);
    const uint8_t *bytes = (const uint8_t *)in.ptr;
    if (in.len < 2) {
        return false;
    }
    size_t len = bytes[1] & 0x7fU;
    size_t extension = len == 127 ? 8 : len == 126 ? 2 : 0;
    frame->first = bytes[0];
    frame->masked = (bytes[1] & 0x80U) != 0;
    size_t header = 2 + extension + (frame->masked ? 4 : 0);
    if (in.len < header) {
        return false;
    }
    for (size_t i = 0; i < extension; i++) {
        len = (i == 0 ? 0 : len << 8U) + bytes[2 + i];
    }
    if (in.len < header + len) {
        return false;
    }
    str_clear(&payload);
    char *room = str_reserve(&payload, len);
    for (size_t i = 0; i < len; i++) {
        room[i] = (char)(bytes[header + i] ^ (frame->masked ? bytes[header - 4 + i % 4] : 0));
    }
    str_advance(&payload, len);
    memmove(peer->received.data, peer->received.data + header + len, in.len - header - len);
    peer->received.len -= header + len;
    frame->payload = str_view(&payload);
    return true;
}

struct peer_frame peer_next(struct peer *peer)
{
    struct peer_frame frame = {0};
    int64_t deadline_ms = peer_deadline();
    for (receive(peer); !take_frame(peer, &frame); receive(peer)) {
        assert_false(peer->ended);
        peer_turn(peer, deadline_ms);
    }
    return frame;
}

void peer_expect(struct peer *peer, uint8_t first, struct view payload)
{
    struct peer_frame frame = peer_next(peer);
    assert_int_equal(frame.first, first);
    assert_int_equal(frame.masked, peer->role == WS_CLIENT);
    assert_int_equal(frame.payload.len, payload.len);
    assert_memory_equal(frame.payload.ptr, payload.ptr, payload.len);
}

void peer_expect_close(struct peer *peer, int code)
{
    struct peer_frame frame = peer_next(peer);
    assert_int_equal(frame.first, FIN | OP_CLOSE);
    assert_true(frame.payload.len >= 2);
    assert_int_equal((uint8_t)frame.payload.ptr[0] * 256 + (uint8_t)frame.payload.ptr[1], code);
}
