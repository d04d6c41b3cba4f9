#include "gateway/http/connection_parts.h"

#include "common/base/clock.h"
#include "gateway/http/exchange.h"
#include "gateway/http/tls.h"
#include "gateway/http/wire.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    INPUT_MAX = 32 * 1024, /* read and not yet used; nothing more is read then */
    PIPELINED_PER_TURN = 16,
    READS_PER_TURN = 4, /* of bytes in bulk */
    LINGER_BYTES_MAX = 64 * 1024,
};
static_assert((int)INPUT_MAX > (int)HEAD_WINDOW, "a whole head must fit");

#define MOVE(state) (1U << (CONNECTION_##state))
static const unsigned allowed_moves[] = {
    [CONNECTION_IDLE] = MOVE(HEAD) | MOVE(REQUEST) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_HEAD] = MOVE(REQUEST) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_REQUEST] = MOVE(IDLE) | MOVE(BODY) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_BODY] = MOVE(IDLE) | MOVE(REQUEST) | MOVE(BODY_PAUSED) | MOVE(WRITING) |
                        MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_BODY_PAUSED] =
        MOVE(IDLE) | MOVE(BODY) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_WRITING] = MOVE(IDLE) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_LINGER] = MOVE(CLOSED),
    [CONNECTION_CLOSED] = 0,
};

static enum core_timeout timeout_of(const struct http_connection *connection)
{
    bool streams = connection->answer != ANSWER_NONE;
    if (connection->handshakes && connection->state != CONNECTION_CLOSED) {
        return TIMEOUT_HEAD;
    }
    switch (connection->state) {
    case CONNECTION_IDLE:
        return connection->is_fresh ? TIMEOUT_HEAD
                                    : (enum core_timeout)(TIMEOUT_IDLE + connection->idle_variant);
    case CONNECTION_HEAD:
        return TIMEOUT_HEAD;
    case CONNECTION_REQUEST:
        if (streams) {
            return TIMEOUT_STREAM;
        }
        return connection->half_closed ? TIMEOUT_WATCH : TIMEOUT_NONE;
    case CONNECTION_BODY:
        return TIMEOUT_BODY_TICK;
    case CONNECTION_BODY_PAUSED:
        return streams ? TIMEOUT_STREAM : TIMEOUT_WATCH;
    case CONNECTION_WRITING:
        return streams ? TIMEOUT_STREAM : TIMEOUT_WRITE;
    case CONNECTION_LINGER:
        return TIMEOUT_LINGER;
    case CONNECTION_CLOSED:
        break;
    }
    return TIMEOUT_NONE;
}

void connection_arm(struct http_connection *connection)
{
    enum core_timeout timeout = timeout_of(connection);
    if (timeout == TIMEOUT_NONE) {
        (void)event_del(connection->timer);
    } else {
        (void)event_add(connection->timer, connection->core->timeouts[timeout]);
    }
}

void connection_set_state(struct http_connection *connection, enum connection_state state)
{
    assert((allowed_moves[connection->state] & (1U << state)) != 0);
    connection->state = state;
    connection_arm(connection);
}

struct evbuffer *connection_input(const struct http_connection *connection)
{
    return bufferevent_get_input(connection->bev);
}

void connection_bound_input(struct http_connection *connection)
{
    size_t max = connection->state == CONNECTION_BODY_PAUSED ? 0 : INPUT_MAX;
    wire_bound_input(connection->bev, max, connection->half_closed);
}

void connection_set_bulk(struct http_connection *connection, bool bulk)
{
    if (connection->is_bulk != bulk) {
        connection->is_bulk = bulk;
        wire_set_bulk(connection->bev, bulk);
    }
}

static void free_connection(void *object)
{
    struct http_connection *connection = object;
    if (connection->taken != NULL) {
        evbuffer_free(connection->taken);
    }
    free(connection);
}

/* All but the bufferevent. */
static void leave(struct http_connection *connection)
{
    connection_set_state(connection, CONNECTION_CLOSED);
    event_free(connection->timer);
    connection->timer = NULL;
    outflow_end(&connection->outflow);
    connection->bev = NULL;
    list_remove(&connection->node);
    http_place_free(connection->place);
    connection->place = NULL;
    loop_free_later(connection->core->loop, &connection->corpse, free_connection, connection);
    connection->core->on_closed(connection);
}

void connection_close(struct http_connection *connection)
{
    if (connection->state == CONNECTION_CLOSED) {
        return;
    }
    struct http_exchange *exchange = TAKE(connection->exchange);
    struct bufferevent *bev = connection->bev;
    leave(connection);
    bufferevent_free(bev);
    if (exchange != NULL) {
        exchange_abandon(exchange);
    }
}

struct bufferevent *connection_take_bev(struct http_connection *connection)
{
    struct bufferevent *bev = connection->bev;
    connection->exchange = NULL;
    (void)bufferevent_disable(bev, EV_READ);
    bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
    leave(connection);
    return bev;
}

/* True when a request went to its handler. */
static bool read_head(struct http_connection *connection)
{
    struct evbuffer *input = connection_input(connection);
    size_t len = evbuffer_get_length(input);
    len = len < HEAD_WINDOW ? len : HEAD_WINDOW;
    if (len == 0) {
        return false;
    }
    const char *bytes = (const char *)evbuffer_pullup(input, (ev_ssize_t)len);
    if (bytes == NULL) {
        connection_close(connection);
        return false;
    }
    struct head_check *check = &connection->check;
    enum head_verdict verdict = head_check_feed(check, bytes, len);
    if (verdict == HEAD_INCOMPLETE) {
        assert(len < HEAD_WINDOW);
        if (connection->state == CONNECTION_IDLE) {
            connection_set_state(connection, CONNECTION_HEAD);
        }
        return false;
    }
    enum refusal refusal = check->refusal;
    if (verdict == HEAD_COMPLETE) {
        struct view head = {bytes + check->head_offset, check->next_line - check->head_offset};
        connection->exchange = exchange_new(connection, head, &refusal);
    }
    (void)evbuffer_drain(input, check->next_line);
    *check = (struct head_check){0};
    connection->is_fresh = false;
    if (connection->exchange == NULL) {
        connection_refuse(connection, refusal);
        return false;
    }
    connection_set_state(connection, CONNECTION_REQUEST);
    exchange_dispatch(connection->exchange, connection->arg);
    return true;
}

/* No answer is due. */
static void close_idle(struct http_connection *connection)
{
    wire_say_end(connection->bev);
    connection_close(connection);
}

/* The client sends no more: what it has not sent by now never comes. */
static void end_input(struct http_connection *connection)
{
    if (connection->state == CONNECTION_IDLE || connection->state == CONNECTION_HEAD) {
        close_idle(connection);
    } else if (connection->state == CONNECTION_BODY) {
        connection_refuse(connection, REFUSAL_BODY_INCOMPLETE);
    }
}

static bool step(struct http_connection *connection)
{
    switch (connection->state) {
    case CONNECTION_IDLE:
    case CONNECTION_HEAD:
        return read_head(connection);
    case CONNECTION_BODY:
        exchange_feed(connection->exchange, connection_input(connection));
        return connection->state != CONNECTION_BODY;
    case CONNECTION_REQUEST:
    case CONNECTION_BODY_PAUSED:
    case CONNECTION_WRITING:
    case CONNECTION_LINGER:
    case CONNECTION_CLOSED:
        break;
    }
    return false;
}

void connection_advance(struct http_connection *connection)
{
    if (connection->advancing) {
        return;
    }
    connection->advancing = true;
    int steps = 0;
    while (steps < PIPELINED_PER_TURN && step(connection)) {
        steps++;
    }
    connection->advancing = false;
    if (connection->state == CONNECTION_CLOSED) {
        return;
    }
    connection_bound_input(connection);
    if (steps == PIPELINED_PER_TURN) {
        bufferevent_trigger(connection->bev, EV_READ,
                            BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
    } else if (connection->half_closed) {
        end_input(connection);
    }
}

void connection_read_body(struct http_connection *connection)
{
    connection_set_state(connection, CONNECTION_BODY);
    connection_advance(connection);
}

void connection_stream_body(struct http_connection *connection)
{
    if (connection->taken == NULL) {
        connection->taken = evbuffer_new();
    }
    if (connection->taken == NULL) {
        connection_break(connection);
        return;
    }
    connection_set_bulk(connection, true);
    connection_set_state(connection, CONNECTION_BODY);
    connection_bound_input(connection);
    bufferevent_trigger(connection->bev, EV_READ,
                        BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

void connection_pause_body(struct http_connection *connection)
{
    connection_set_state(connection, CONNECTION_BODY_PAUSED);
    connection_bound_input(connection);
}

void connection_end_body(struct http_connection *connection)
{
    connection_set_state(connection, CONNECTION_REQUEST);
}

void connection_retire(struct http_connection *connection, bool half_sent)
{
    connection->is_last = true;
    if (connection->state == CONNECTION_IDLE ||
        (half_sent && connection->state == CONNECTION_HEAD)) {
        close_idle(connection);
    }
}

static void read_and_advance(struct http_connection *connection, struct bufferevent *bev)
{
    bool has_more = wire_may_have_more(bev);
    for (int reads = 0; reads < READS_PER_TURN; reads++) {
        bool is_bulk = connection->state == CONNECTION_BODY && connection->is_bulk;
        has_more = is_bulk && has_more && wire_read_more(bev);
        connection_advance(connection);
        if (!has_more) {
            return;
        }
    }
}

static void on_readable(struct bufferevent *bev, void *arg)
{
    struct http_connection *connection = arg;
    if (connection->state != CONNECTION_LINGER) {
        read_and_advance(connection, bev);
        return;
    }
    size_t len = evbuffer_get_length(bufferevent_get_input(bev));
    (void)evbuffer_drain(bufferevent_get_input(bev), len);
    connection->progress += len;
    if (connection->progress > LINGER_BYTES_MAX) {
        /* Closing now would be a reset, which may overtake the answer: the rest stays with the
         * client until the time is over. */
        (void)bufferevent_disable(bev, EV_READ);
    }
}

static void watch(struct http_connection *connection)
{
    if (wire_peer_is_gone(connection->bev)) {
        connection_cut(connection);
    } else if (connection->answer != ANSWER_NONE && connection_answer_is_stalled(connection)) {
        wire_reset_on_close(connection->bev);
        connection_close(connection);
    } else {
        connection_arm(connection);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct http_connection *connection = arg;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        connection->handshakes = false;
        connection_arm(connection);
        return;
    }
    if ((what & BEV_EVENT_EOF) == 0 || connection->state == CONNECTION_LINGER) {
        connection_cut(connection);
        return;
    }
    connection->half_closed = true;
    if (wire_unsent(bev) > 0) {
        (void)bufferevent_enable(bev, EV_WRITE); /* over TLS libevent has stopped it */
    }
    if (connection->state == CONNECTION_REQUEST) {
        watch(connection);
    } else {
        connection_advance(connection);
    }
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_connection *connection = arg;
    if (connection->handshakes) {
        connection_close(connection);
        return;
    }
    switch (connection->state) {
    case CONNECTION_HEAD:
        connection_refuse(connection, REFUSAL_HEAD_SLOW);
        return;
    case CONNECTION_BODY:
        if (exchange_is_too_slow(connection->exchange)) {
            connection_refuse(connection, REFUSAL_BODY_SLOW);
        } else {
            watch(connection);
        }
        return;
    case CONNECTION_REQUEST:
    case CONNECTION_BODY_PAUSED:
        watch(connection);
        return;
    case CONNECTION_WRITING:
        if (connection->answer == ANSWER_NONE) {
            connection_check_writing(connection);
        } else {
            watch(connection);
        }
        return;
    case CONNECTION_IDLE:
        close_idle(connection);
        return;
    case CONNECTION_LINGER:
    case CONNECTION_CLOSED:
        connection_close(connection);
        return;
    }
}

static struct bufferevent *bev_new(struct event_base *base, int fd, struct http_tls *tls)
{
    return tls == NULL ? bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE)
                       : http_tls_accept(tls, base, fd);
}

struct http_connection *connection_open(struct http_core *core, int fd,
                                        const struct connection_options *options)
{
    struct event_base *base = loop_base(core->loop);
    struct http_connection *connection = calloc(1, sizeof *connection);
    struct event *timer = connection == NULL ? NULL : evtimer_new(base, on_timeout, connection);
    struct bufferevent *bev = bev_new(base, fd, options->tls);
    if (timer == NULL || bev == NULL || !outflow_begin(&connection->outflow, bev)) {
        if (timer != NULL) {
            event_free(timer);
        }
        if (bev != NULL) {
            bufferevent_free(bev);
        } else {
            (void)close(fd);
        }
        free(connection);
        http_place_free(options->place);
        return NULL;
    }
    connection->core = core;
    connection->listener = options->listener;
    connection->place = options->place;
    connection->arg = options->arg;
    connection->bev = bev;
    connection->timer = timer;
    connection->is_fresh = true;
    connection->handshakes = options->tls != NULL;
    connection->idle_variant = (unsigned)fd % CORE_IDLE_VARIANTS;
    (void)view_copy(view_of(options->peer), connection->peer, sizeof connection->peer);
    connection->has_address = address_parse(view_of(options->peer), &connection->address);
    list_append(options->list, &connection->node);
    bufferevent_setcb(bev, on_readable, connection_on_written, on_event, connection);
    (void)bufferevent_enable(bev, EV_READ);
    connection_arm(connection);
    return connection;
}
