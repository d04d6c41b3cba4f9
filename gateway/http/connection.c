#include "gateway/http/connection.h"

#include "gateway/http/exchange.h"
#include "gateway/http/wire.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    INPUT_MAX = 32 * 1024, /* read and not yet used; nothing more is read then */
    PIPELINED_PER_TURN = 16,
    LINGER_BYTES_MAX = 64 * 1024,
};
static_assert((int)INPUT_MAX > (int)HEAD_WINDOW, "a whole head must fit");

#define MOVE(state) (1U << (CONNECTION_##state))
static const unsigned allowed_moves[] = {
    [CONNECTION_IDLE] = MOVE(HEAD) | MOVE(REQUEST) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_HEAD] = MOVE(REQUEST) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_REQUEST] = MOVE(IDLE) | MOVE(BODY) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_BODY] = MOVE(IDLE) | MOVE(REQUEST) | MOVE(WRITING) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_WRITING] = MOVE(IDLE) | MOVE(LINGER) | MOVE(CLOSED),
    [CONNECTION_LINGER] = MOVE(CLOSED),
    [CONNECTION_CLOSED] = 0,
};

static void advance(struct http_connection *connection);

static enum core_timeout timeout_of(const struct http_connection *connection)
{
    switch (connection->state) {
    case CONNECTION_IDLE:
        return connection->is_fresh ? TIMEOUT_HEAD
                                    : (enum core_timeout)(TIMEOUT_IDLE + connection->idle_variant);
    case CONNECTION_HEAD:
        return TIMEOUT_HEAD;
    case CONNECTION_REQUEST:
        return connection->half_closed ? TIMEOUT_WATCH : TIMEOUT_NONE;
    case CONNECTION_BODY:
        return TIMEOUT_BODY_TICK;
    case CONNECTION_WRITING:
        return TIMEOUT_WRITE;
    case CONNECTION_LINGER:
        return TIMEOUT_LINGER;
    case CONNECTION_CLOSED:
        break;
    }
    return TIMEOUT_NONE;
}

static void arm(struct http_connection *connection)
{
    enum core_timeout timeout = timeout_of(connection);
    if (timeout == TIMEOUT_NONE) {
        (void)event_del(connection->timer);
    } else {
        (void)event_add(connection->timer, connection->core->timeouts[timeout]);
    }
}

static void set_state(struct http_connection *connection, enum connection_state state)
{
    assert((allowed_moves[connection->state] & (1U << state)) != 0);
    connection->state = state;
    arm(connection);
}

static struct evbuffer *input_of(const struct http_connection *connection)
{
    return bufferevent_get_input(connection->bev);
}

static void free_connection(void *object)
{
    free(object);
}

/* All but the bufferevent. */
static void leave(struct http_connection *connection)
{
    set_state(connection, CONNECTION_CLOSED);
    event_free(connection->timer);
    connection->timer = NULL;
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

/* Nothing more will be sent. When the client may be sending still, closing at once would make the
 * kernel answer with a reset, and the client could lose the answer. */
static void close_behind_answer(struct http_connection *connection)
{
    bool may_close = !connection->unread && evbuffer_get_length(input_of(connection)) == 0;
    if (connection->half_closed || may_close ||
        shutdown(bufferevent_getfd(connection->bev), SHUT_WR) != 0) {
        connection_close(connection);
        return;
    }
    connection->progress = evbuffer_get_length(input_of(connection));
    (void)evbuffer_drain(input_of(connection), connection->progress);
    set_state(connection, CONNECTION_LINGER);
    wire_bound_input(connection->bev, INPUT_MAX, connection->half_closed);
}

static void go_on(struct http_connection *connection)
{
    if (connection->is_last) {
        close_behind_answer(connection);
        return;
    }
    set_state(connection, CONNECTION_IDLE);
    advance(connection);
}

void connection_send(struct http_connection *connection, struct view head, struct view body)
{
    if (!wire_send(connection->bev, head, body)) {
        connection_close(connection);
    }
}

void connection_answer(struct http_connection *connection, struct view head, struct view body,
                       bool keep_alive, bool unread)
{
    connection->exchange = NULL;
    connection->is_last = connection->is_last || !keep_alive;
    connection->unread = unread;
    if (head.len == 0) {
        connection_close(connection);
        return;
    }
    connection_send(connection, head, body);
    if (connection->state == CONNECTION_CLOSED) {
        return;
    }
    if (wire_unsent(connection->bev) > 0) {
        connection->progress = wire_unacknowledged(connection->bev);
        set_state(connection, CONNECTION_WRITING);
    } else {
        go_on(connection);
    }
}

void connection_refuse(struct http_connection *connection, enum refusal refusal)
{
    struct http_core *core = connection->core;
    struct http_exchange *exchange = TAKE(connection->exchange);
    struct http_response response;
    char id[HTTP_REQUEST_ID_SIZE];
    if (exchange == NULL) {
        core_new_id(core, id);
    }
    const char *shown_id = exchange == NULL ? id : http_exchange_request_id(exchange);
    response_refusal(&core->writer, refusal, shown_id, &response);
    struct view head = response_head(&core->writer, &response, shown_id, RESPONSE_CLOSE);
    bool bodiless = exchange != NULL && exchange_is_head(exchange);
    connection_answer(connection, head, bodiless ? (struct view){0} : response.body, false, true);
    if (exchange != NULL) {
        exchange_abandon(exchange);
    }
}

/* True when a request went to its handler. */
static bool read_head(struct http_connection *connection)
{
    struct evbuffer *input = input_of(connection);
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
            set_state(connection, CONNECTION_HEAD);
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
    set_state(connection, CONNECTION_REQUEST);
    exchange_dispatch(connection->exchange, connection->arg);
    return true;
}

/* The client sends no more: what it has not sent by now never comes. */
static void end_input(struct http_connection *connection)
{
    if (connection->state == CONNECTION_IDLE || connection->state == CONNECTION_HEAD) {
        connection_close(connection);
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
        exchange_feed(connection->exchange, input_of(connection));
        return connection->state != CONNECTION_BODY;
    case CONNECTION_REQUEST:
    case CONNECTION_WRITING:
    case CONNECTION_LINGER:
    case CONNECTION_CLOSED:
        break;
    }
    return false;
}

/* Does all that can be done with what has been read. Handlers answer from inside; the answer then
 * leads back here, and the outer call goes on. */
static void advance(struct http_connection *connection)
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
    wire_bound_input(connection->bev, INPUT_MAX, connection->half_closed);
    if (steps == PIPELINED_PER_TURN) {
        bufferevent_trigger(connection->bev, EV_READ,
                            BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
    } else if (connection->half_closed) {
        end_input(connection);
    }
}

void connection_read_body(struct http_connection *connection)
{
    set_state(connection, CONNECTION_BODY);
    advance(connection);
}

void connection_end_body(struct http_connection *connection)
{
    set_state(connection, CONNECTION_REQUEST);
}

void connection_retire(struct http_connection *connection, bool half_sent)
{
    connection->is_last = true;
    if (connection->state == CONNECTION_IDLE ||
        (half_sent && connection->state == CONNECTION_HEAD)) {
        connection_close(connection);
    }
}

static void on_readable(struct bufferevent *bev, void *arg)
{
    struct http_connection *connection = arg;
    if (connection->state != CONNECTION_LINGER) {
        advance(connection);
        return;
    }
    size_t len = evbuffer_get_length(bufferevent_get_input(bev));
    (void)evbuffer_drain(bufferevent_get_input(bev), len);
    connection->progress += len;
    if (connection->progress > LINGER_BYTES_MAX) {
        connection_close(connection);
    }
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct http_connection *connection = arg;
    (void)bev;
    if (connection->state == CONNECTION_WRITING && wire_unsent(connection->bev) == 0) {
        go_on(connection);
    }
}

static void watch(struct http_connection *connection)
{
    if (wire_peer_is_gone(connection->bev)) {
        connection_close(connection);
    } else {
        arm(connection);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct http_connection *connection = arg;
    if ((what & BEV_EVENT_EOF) == 0 || connection->state == CONNECTION_LINGER) {
        connection_close(connection);
        return;
    }
    connection->half_closed = true;
    if (connection->state == CONNECTION_REQUEST) {
        watch(connection);
    } else {
        end_input(connection);
    }
}

static void check_writing(struct http_connection *connection)
{
    size_t left = wire_unacknowledged(connection->bev);
    if (left >= connection->progress) {
        wire_reset_on_close(connection->bev);
        connection_close(connection);
        return;
    }
    connection->progress = left;
    arm(connection);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_connection *connection = arg;
    switch (connection->state) {
    case CONNECTION_HEAD:
        connection_refuse(connection, REFUSAL_HEAD_SLOW);
        return;
    case CONNECTION_BODY:
        if (exchange_is_too_slow(connection->exchange)) {
            connection_refuse(connection, REFUSAL_BODY_SLOW);
        } else {
            arm(connection);
        }
        return;
    case CONNECTION_REQUEST:
        watch(connection);
        return;
    case CONNECTION_WRITING:
        check_writing(connection);
        return;
    case CONNECTION_IDLE:
    case CONNECTION_LINGER:
    case CONNECTION_CLOSED:
        connection_close(connection);
        return;
    }
}

struct http_connection *connection_open(struct http_core *core, int fd,
                                        const struct connection_options *options)
{
    struct event_base *base = loop_base(core->loop);
    struct http_connection *connection = calloc(1, sizeof *connection);
    struct event *timer = connection == NULL ? NULL : evtimer_new(base, on_timeout, connection);
    struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (timer == NULL || bev == NULL) {
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
    connection->idle_variant = (unsigned)fd % CORE_IDLE_VARIANTS;
    (void)view_copy(view_of(options->peer), connection->peer, sizeof connection->peer);
    list_append(options->list, &connection->node);
    bufferevent_setcb(bev, on_readable, on_written, on_event, connection);
    (void)bufferevent_enable(bev, EV_READ);
    arm(connection);
    return connection;
}
