#include "common/ws/socket.h"

#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/ws/frames.h"
#include "common/ws/inbox.h"
#include "common/ws/intake.h"
#include "common/ws/watch.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    MEBIBYTE = 1024 * 1024,
    CLOSE_ANSWER_MS = 5000,   /* the peer's answer to our close frame */
    LINGER_MS = 1000,         /* the peer's end of the TCP connection, after the last frame */
    DRAIN_STILL_MS = 5000,    /* a peer that closed and takes nothing of what still waits for it */
    DRAIN_MAX_MS = 60 * 1000, /* one that takes it */
    READ_ONCE_MAX = 256 * 1024, /* bytes taken from the kernel in one turn of the loop */
    DIRECT_READS_MAX = READ_ONCE_MAX / WS_INTAKE_MAX, /* the same, of long messages */
    WRITE_ONCE_MAX = 256 * 1024,                      /* bytes handed to it */
    STREAM_STALL_MAX_MS = 10 * 60 * 1000,
};

const struct ws_limits ws_default_limits = {
    .message_max = 16UL * MEBIBYTE,
    .fragments_max = 16384,
    .backlog_max = 4UL * MEBIBYTE,
    .backlog_hard_max = 64UL * MEBIBYTE,
    .stall_max_ms = 10000,
    .ping_every_ms = 20000,
    .silence_max_ms = 60000,
    .pings_per_s_max = 20,
};
const struct ws_limits ws_answering_limits = {
    .message_max = 16UL * MEBIBYTE,
    .fragments_max = 16384,
    .backlog_max = 4UL * MEBIBYTE,
    .backlog_hard_max = 64UL * MEBIBYTE,
    .stall_max_ms = 10000,
    .stream_stall_max_ms = STREAM_STALL_MAX_MS,
    .back_pressure = true,
    .ping_every_ms = 20000,
    .silence_max_ms = 60000,
    .pings_per_s_max = 20,
};

enum state {
    STATE_OPEN,
    STATE_CLOSING, /* our close frame is out, the peer's is awaited */
    STATE_ENDING,  /* no frames any more: what is queued goes out, what comes is thrown away */
    STATE_CLOSED,  /* on_closed was called */
    STATE_FREED,   /* the memory goes at the end of the loop's turn */
};

struct ws_socket {
    struct loop *loop;       /* borrowed */
    struct bufferevent *bev; /* owned; NULL when freed */
    const struct ws_limits *limits;
    const struct ws_events *events;
    void *arg;
    void (*say_end)(struct bufferevent *bev); /* may be NULL */
    enum state state;
    int close_code; /* for on_closed */
    struct ws_inbox inbox;
    struct timer timer;
    struct loop_corpse corpse;
    struct ws_watch watch;
    bool reads_directly;    /* long messages, from the kernel */
    bool held;              /* by the owner */
    bool message_waits;     /* in the inbox: it came before the owner's ws_pause */
    bool reading_paused;    /* for either reason, or by back-pressure */
    bool is_over_soft;      /* on_drained is owed */
    bool output_shut;       /* our side of the TCP connection */
    bool peer_ended;        /* the other one */
    uint64_t queued_bytes;  /* all that ever was */
    uint64_t drained_bytes; /* of these, taken after the peer's close, when last looked at */
    int64_t drain_end_ms;   /* 0: what waits is not waited for */
};

static struct evbuffer *input_of(const struct ws_socket *socket)
{
    return bufferevent_get_input(socket->bev);
}

static struct evbuffer *output_of(const struct ws_socket *socket)
{
    return bufferevent_get_output(socket->bev);
}

size_t ws_backlog(const struct ws_socket *socket)
{
    return socket->bev == NULL ? 0 : evbuffer_get_length(output_of(socket));
}

static void finish(struct ws_socket *socket)
{
    if (socket->state >= STATE_CLOSED) {
        return;
    }
    socket->state = STATE_CLOSED;
    timer_disarm(&socket->timer);
    (void)bufferevent_disable(socket->bev, EV_READ | EV_WRITE);
    socket->events->on_closed(socket->close_code, socket->arg);
}

/* The peer sees the end of our bytes after the last frame; closing at once could reset the
 * connection while the peer still sends, and the close frame would be lost. */
static void shut_output(struct ws_socket *socket)
{
    evutil_socket_t fd = bufferevent_getfd(socket->bev);
    if (socket->output_shut) {
        return;
    }
    socket->output_shut = true;
    if (socket->say_end != NULL) {
        socket->say_end(socket->bev);
    }
    if (fd >= 0) {
        (void)shutdown((int)fd, SHUT_WR);
    } else {
        (void)bufferevent_flush(socket->bev, EV_WRITE, BEV_FINISHED);
    }
}

static void end(struct ws_socket *socket, int code)
{
    socket->state = STATE_ENDING;
    socket->close_code = code;
    (void)evbuffer_drain(input_of(socket), evbuffer_get_length(input_of(socket)));
    bufferevent_setwatermark(socket->bev, EV_WRITE, 0, 0);
    (void)bufferevent_enable(socket->bev, EV_READ);
    timer_arm_common(&socket->timer, LINGER_MS);
    if (ws_backlog(socket) == 0) {
        shut_output(socket);
    }
}

/* The stream of frames can't be continued, or there is nothing to wait for. */
static void abandon(struct ws_socket *socket, int code)
{
    end(socket, code);
    timer_arm(&socket->timer, 0);
}

static uint64_t taken_bytes(const struct ws_socket *socket)
{
    return socket->queued_bytes - ws_backlog(socket);
}

/* Ends with a peer that has closed: it gets what waits for it, as long as it takes it. */
static void end_drained(struct ws_socket *socket, int code)
{
    end(socket, code);
    if (ws_backlog(socket) > 0) {
        socket->drained_bytes = taken_bytes(socket);
        socket->drain_end_ms = clock_monotonic_ms() + DRAIN_MAX_MS;
        timer_arm_common(&socket->timer, DRAIN_STILL_MS);
    }
}

/* Whether it has taken something since the last call and there is more. */
static bool is_draining(struct ws_socket *socket)
{
    uint64_t taken = taken_bytes(socket);
    bool took = taken != socket->drained_bytes;
    socket->drained_bytes = taken;
    return took && ws_backlog(socket) > 0 && clock_monotonic_ms() < socket->drain_end_ms;
}

static void arm_look(struct ws_socket *socket)
{
    ws_watch_arm(&socket->watch, &socket->timer, clock_monotonic_ms());
}

static size_t backlog_soft(const struct ws_socket *socket)
{
    const struct ws_limits *limits = socket->limits;
    return limits->backlog_soft > 0 ? limits->backlog_soft : limits->backlog_max;
}

/* on_writable then comes when the backlog is down to the mark that is next, not when it is gone. */
static void set_mark(struct ws_socket *socket)
{
    size_t mark = socket->is_over_soft ? backlog_soft(socket) : 0;
    mark = socket->watch.is_behind ? socket->limits->backlog_max : mark;
    bufferevent_setwatermark(socket->bev, EV_WRITE, mark, 0);
}

static void note_backlog(struct ws_socket *socket)
{
    size_t backlog = ws_backlog(socket);
    if (!socket->is_over_soft && backlog > backlog_soft(socket)) {
        socket->is_over_soft = true;
        set_mark(socket);
    }
    if (!socket->watch.is_behind && backlog > socket->limits->backlog_max) {
        ws_watch_set_behind(&socket->watch, taken_bytes(socket), clock_monotonic_ms());
        set_mark(socket);
        arm_look(socket);
    }
}

static bool send_frame(struct ws_socket *socket, uint8_t opcode, const struct view *parts,
                       size_t part_count)
{
    size_t before = ws_backlog(socket);
    bool sent = ws_frame_write(output_of(socket), socket->inbox.role, opcode, parts, part_count);
    size_t added = ws_backlog(socket) - before;
    socket->queued_bytes += added;
    if (opcode != WS_BINARY) {
        ws_watch_count_text(&socket->watch, added, socket->queued_bytes, taken_bytes(socket));
    }
    note_backlog(socket);
    return sent;
}

static bool send_close(struct ws_socket *socket, int code, struct view reason)
{
    const char bytes[] = {(char)(code >> 8), (char)code};
    if (reason.len > WS_REASON_MAX) {
        reason.len = utf8_prefix((struct view){reason.ptr, WS_REASON_MAX}, NULL);
    }
    const struct view parts[] = {{bytes, sizeof bytes}, reason};
    return send_frame(socket, WS_CLOSE, parts, code == 0 ? 0 : 2);
}

/* Goes on with what has arrived, from the loop. */
static void read_later(struct ws_socket *socket)
{
    (void)bufferevent_enable(socket->bev, EV_READ);
    if (evbuffer_get_length(input_of(socket)) > 0) {
        bufferevent_trigger(socket->bev, EV_READ, BEV_OPT_DEFER_CALLBACKS);
    }
}

/* The peer broke a rule: it hears why, and nothing of it is read any more. */
static void fail(struct ws_socket *socket, int code, const char *reason)
{
    if (socket->state != STATE_OPEN) {
        end(socket, socket->close_code);
    } else if (send_close(socket, code, view_of(reason))) {
        end(socket, code);
    } else {
        abandon(socket, code);
    }
}

void ws_close(struct ws_socket *socket, int code, const char *reason)
{
    if (socket->state != STATE_OPEN) {
        return;
    }
    if (!send_close(socket, code, reason == NULL ? (struct view){0} : view_of(reason))) {
        abandon(socket, code);
        return;
    }
    socket->state = STATE_CLOSING;
    socket->close_code = code;
    socket->inbox.discard = true;
    timer_arm_common(&socket->timer, CLOSE_ANSWER_MS);
    if (socket->message_waits) {
        socket->message_waits = false;
        ws_inbox_clear(&socket->inbox);
    }
    if (socket->reading_paused) {
        socket->reading_paused = false;
        read_later(socket);
    }
}

static void on_peer_close(struct ws_socket *socket)
{
    if (socket->state == STATE_CLOSING) {
        end_drained(socket, socket->close_code);
        return;
    }
    int code = ws_inbox_close_code(&socket->inbox);
    int reported = code == 0 ? WS_CLOSE_NO_CODE : code;
    if (send_close(socket, code, (struct view){0})) {
        end_drained(socket, reported);
    } else {
        abandon(socket, reported);
    }
}

static void on_ping(struct ws_socket *socket)
{
    if (socket->state != STATE_OPEN) {
        return;
    }
    if (!ws_watch_count_ping(&socket->watch, socket->watch.heard_ms)) {
        fail(socket, WS_CLOSE_POLICY, "too many pings");
        return;
    }
    const struct view payload = {socket->inbox.control, socket->inbox.control_len};
    if (!send_frame(socket, WS_PONG, &payload, 1)) {
        abandon(socket, WS_CLOSE_INTERNAL);
    }
}

static void on_whole_message(struct ws_socket *socket)
{
    socket->message_waits = false;
    if (socket->state == STATE_OPEN) {
        socket->events->on_message((enum ws_opcode)socket->inbox.message_opcode,
                                   str_view(&socket->inbox.message), socket->arg);
    }
    socket->message_waits = socket->state == STATE_OPEN && socket->held;
    if (!socket->message_waits) {
        ws_inbox_clear(&socket->inbox);
    }
}

/* Whether to go on reading now. */
static bool may_read(struct ws_socket *socket)
{
    bool is_pressed =
        socket->limits->back_pressure && ws_backlog(socket) > socket->limits->backlog_max;
    if (socket->state != STATE_OPEN || (!socket->held && !is_pressed)) {
        return socket->state == STATE_OPEN || socket->state == STATE_CLOSING;
    }
    socket->reading_paused = true;
    (void)bufferevent_disable(socket->bev, EV_READ);
    return false;
}

static void take_frames(struct ws_socket *socket)
{
    struct ws_breach breach;
    while (may_read(socket)) {
        if (socket->message_waits) {
            on_whole_message(socket);
            continue;
        }
        switch (ws_inbox_next(&socket->inbox, input_of(socket), &breach)) {
        case WS_ARRIVAL_NONE:
            return;
        case WS_ARRIVAL_MESSAGE:
            on_whole_message(socket);
            break;
        case WS_ARRIVAL_PING:
            on_ping(socket);
            break;
        case WS_ARRIVAL_PONG:
            break;
        case WS_ARRIVAL_CLOSE:
            on_peer_close(socket);
            break;
        case WS_ARRIVAL_BREACH:
            fail(socket, breach.code, breach.reason);
            break;
        }
    }
}

static void read_frames(struct ws_socket *socket)
{
    take_frames(socket);
    ws_inbox_rest(&socket->inbox);
}

/* What libevent has left of a long message. */
static void read_directly(struct ws_socket *socket)
{
    bool has_more = true;
    for (int reads = 0; has_more && reads < DIRECT_READS_MAX; reads++) {
        has_more = socket->state == STATE_OPEN && !socket->reading_paused &&
                   ws_intake_read(&socket->inbox, socket->bev);
        read_frames(socket);
    }
}

static void on_readable(struct bufferevent *bev, void *arg)
{
    struct ws_socket *socket = arg;
    socket->watch.heard_ms = clock_monotonic_ms();
    if (socket->state == STATE_ENDING) {
        struct evbuffer *input = bufferevent_get_input(bev);
        (void)evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    read_frames(socket);
    if (socket->reads_directly) {
        read_directly(socket);
    }
}

static void on_all_sent(struct ws_socket *socket)
{
    shut_output(socket);
    if (socket->peer_ended) {
        finish(socket);
    } else if (socket->drain_end_ms > 0) {
        timer_arm_common(&socket->timer, LINGER_MS);
    }
}

static void on_less_backlog(struct ws_socket *socket)
{
    size_t backlog = ws_backlog(socket);
    bool is_drained = socket->is_over_soft && backlog <= backlog_soft(socket);
    socket->is_over_soft = socket->is_over_soft && !is_drained;
    socket->watch.is_behind = socket->watch.is_behind && backlog > socket->limits->backlog_max;
    set_mark(socket);
    if (is_drained && socket->state == STATE_OPEN && socket->events->on_drained != NULL) {
        socket->events->on_drained(socket->arg);
    }
}

static void on_writable(struct bufferevent *bev, void *arg)
{
    struct ws_socket *socket = arg;
    if (socket->state == STATE_ENDING && ws_backlog(socket) == 0) {
        on_all_sent(socket);
        return;
    }
    if (socket->is_over_soft) {
        on_less_backlog(socket);
    }
    if (socket->reading_paused && !socket->held && socket->state == STATE_OPEN) {
        socket->reading_paused = false;
        socket->watch.heard_ms = clock_monotonic_ms();
        (void)bufferevent_enable(bev, EV_READ);
        read_frames(socket);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct ws_socket *socket = arg;
    bool is_end = socket->state == STATE_ENDING && (what & BEV_EVENT_EOF) != 0;
    if (is_end && ws_backlog(socket) > 0) {
        socket->peer_ended = true; /* it may still be reading our close frame */
        (void)bufferevent_enable(socket->bev, EV_WRITE); /* over TLS libevent has stopped it */
        return;
    }
    if (is_end) {
        shut_output(socket); /* the news that all is sent may come only now */
    }
    finish(socket);
}

static void look(struct ws_socket *socket)
{
    int64_t now_ms = clock_monotonic_ms();
    if (socket->reading_paused) {
        socket->watch.heard_ms = now_ms; /* the silence is ours */
    }
    switch (ws_watch_look(&socket->watch, socket->queued_bytes, taken_bytes(socket), now_ms)) {
    case WS_VERDICT_SILENT:
        fail(socket, WS_CLOSE_IDLE, "nothing was heard");
        return;
    case WS_VERDICT_STALLED:
        fail(socket, WS_CLOSE_POLICY, "the peer does not read");
        return;
    case WS_VERDICT_PING:
        (void)send_frame(socket, WS_PING, NULL, 0); /* without memory: the next time */
        break;
    case WS_VERDICT_WAIT:
        break;
    }
    arm_look(socket);
}

static void on_timer(void *arg)
{
    struct ws_socket *socket = arg;
    if (socket->state == STATE_OPEN) {
        look(socket);
    } else if (is_draining(socket)) {
        timer_arm_common(&socket->timer, DRAIN_STILL_MS);
    } else {
        finish(socket);
    }
}

bool ws_send(struct ws_socket *socket, enum ws_opcode opcode, const struct view *parts,
             size_t part_count, struct err *err)
{
    if (socket->state != STATE_OPEN) {
        return err_set(err, ERR_UNAVAILABLE, "the websocket is closing");
    }
    size_t room = socket->limits->backlog_hard_max;
    room -= ws_backlog(socket) < room ? ws_backlog(socket) : room;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].len > room) {
            fail(socket, WS_CLOSE_POLICY, "the peer does not read");
            return err_set(err, ERR_LIMIT, "the websocket's peer does not read");
        }
        room -= parts[i].len;
    }
    if (!send_frame(socket, (uint8_t)opcode, parts, part_count)) {
        abandon(socket, WS_CLOSE_INTERNAL);
        return err_set(err, ERR_INTERNAL, "websocket: out of memory");
    }
    return true;
}

void ws_pause(struct ws_socket *socket)
{
    if (socket->state == STATE_OPEN) {
        socket->held = true;
        socket->reading_paused = true;
        (void)bufferevent_disable(socket->bev, EV_READ);
    }
}

void ws_resume(struct ws_socket *socket)
{
    if (!socket->held || socket->state != STATE_OPEN) {
        return;
    }
    socket->held = false;
    socket->reading_paused = false;
    (void)bufferevent_enable(socket->bev, EV_READ);
    bufferevent_trigger(socket->bev, EV_READ, BEV_OPT_DEFER_CALLBACKS);
}

void ws_read_directly(struct ws_socket *socket)
{
    socket->reads_directly = true;
}

void ws_set_say_end(struct ws_socket *socket, void (*say_end)(struct bufferevent *bev))
{
    socket->say_end = say_end;
}

void ws_set_liveness(struct ws_socket *socket, bool on)
{
    if (socket->watch.liveness != on && socket->state == STATE_OPEN) {
        ws_watch_set_liveness(&socket->watch, on, clock_monotonic_ms());
        arm_look(socket);
    }
}

static void free_now(void *object)
{
    struct ws_socket *socket = object;
    timer_close(&socket->timer);
    ws_inbox_free(&socket->inbox);
    free(socket);
}

void ws_socket_free(struct ws_socket *socket)
{
    if (socket == NULL) {
        return;
    }
    socket->state = STATE_FREED;
    bufferevent_setcb(socket->bev, NULL, NULL, NULL, NULL);
    bufferevent_free(socket->bev);
    socket->bev = NULL;
    timer_disarm(&socket->timer);
    loop_free_later(socket->loop, &socket->corpse, free_now, socket);
}

static bool open_parts(struct ws_socket *socket, enum ws_role role, struct err *err)
{
    ws_inbox_init(&socket->inbox, role, socket->limits);
    ws_watch_init(&socket->watch, socket->limits, clock_monotonic_ms());
    return timer_open(&socket->timer, socket->loop, on_timer, socket, err);
}

struct ws_socket *ws_socket_new(struct loop *loop, enum ws_role role, struct bufferevent *bev,
                                const struct ws_limits *limits, const struct ws_events *events,
                                void *arg, struct err *err)
{
    struct ws_socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL) {
        bufferevent_free(bev);
        err_set(err, ERR_INTERNAL, "websocket: out of memory");
        return NULL;
    }
    socket->loop = loop;
    socket->bev = bev;
    socket->limits = limits;
    socket->events = events;
    socket->arg = arg;
    socket->close_code = WS_CLOSE_ABNORMAL;
    if (!open_parts(socket, role, err)) {
        bufferevent_free(bev);
        free_now(socket);
        return NULL;
    }
    bufferevent_setcb(bev, on_readable, on_writable, on_event, socket);
    (void)bufferevent_set_timeouts(bev, NULL, NULL);
    bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 0, 0);
    (void)bufferevent_set_max_single_read(bev, READ_ONCE_MAX);
    (void)bufferevent_set_max_single_write(bev, WRITE_ONCE_MAX);
    (void)bufferevent_enable(bev, EV_WRITE);
    read_later(socket);
    arm_look(socket);
    return socket;
}
