/* What a connection sends: whole answers, streamed ones, and its last word. */
#include "gateway/http/connection_parts.h"

#include "common/base/clock.h"
#include "gateway/http/exchange.h"
#include "gateway/http/wire.h"

#include <assert.h>
#include <event2/buffer.h>
#include <sys/socket.h>

enum { BACKLOG_LOW = HTTP_BACKLOG_MAX / 4 };

/* Nothing more will be sent. When the client may be sending still, closing at once would make the
 * kernel answer with a reset, and the client could lose the answer. */
static void close_behind_answer(struct http_connection *connection)
{
    bool may_close =
        connection->half_closed ||
        (!connection->unread && evbuffer_get_length(connection_input(connection)) == 0);
    wire_say_end(connection->bev);
    if (may_close || shutdown(bufferevent_getfd(connection->bev), SHUT_WR) != 0) {
        connection_close(connection);
        return;
    }
    connection->progress = evbuffer_get_length(connection_input(connection));
    (void)evbuffer_drain(connection_input(connection), connection->progress);
    connection_set_state(connection, CONNECTION_LINGER);
    connection_bound_input(connection);
}

/* The next exchange finds the connection as the first one did. */
static void forget_streams(struct http_connection *connection)
{
    if (connection->taken != NULL) {
        (void)evbuffer_drain(connection->taken, evbuffer_get_length(connection->taken));
    }
    connection_set_bulk(connection, false);
    if (connection->answer != ANSWER_NONE) {
        connection->answer = ANSWER_NONE;
        connection->cut_is_unseen = false;
        wire_set_patience(connection->bev, WIRE_USER_TIMEOUT_MS);
    }
}

static void go_on(struct http_connection *connection)
{
    forget_streams(connection);
    if (connection->is_last) {
        close_behind_answer(connection);
        return;
    }
    connection_set_state(connection, CONNECTION_IDLE);
    connection_advance(connection);
}

void connection_break(struct http_connection *connection)
{
    if (!connection->is_broken) {
        connection->is_broken = true;
        bufferevent_trigger_event(connection->bev, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
    }
}

bool connection_send(struct http_connection *connection, const struct view *parts, size_t count)
{
    if (!connection->is_broken && !wire_send(connection->bev, parts, count)) {
        connection_break(connection);
    }
    for (size_t i = 0; i < count; i++) {
        connection->sent += (int64_t)parts[i].len;
    }
    return !connection->is_broken;
}

void connection_begin_answer(struct http_connection *connection, struct view head,
                             bool cut_is_unseen)
{
    connection->answer = ANSWER_FLOWS;
    connection->cut_is_unseen = cut_is_unseen;
    connection->sent = 0;
    connection->acknowledged = 0;
    connection->progress_ms = clock_monotonic_ms();
    connection_set_bulk(connection, true);
    wire_set_patience(connection->bev, connection->core->limits.stream_stall_ms);
    bufferevent_setwatermark(connection->bev, EV_WRITE, BACKLOG_LOW, 0);
    connection_arm(connection);
    if (head.len == 0) {
        connection_break(connection);
    } else {
        (void)connection_send(connection, &head, 1);
    }
}

size_t connection_backlog(const struct http_connection *connection)
{
    return wire_unsent(connection->bev);
}

bool connection_has_room(struct http_connection *connection)
{
    size_t most = outflow_is_tight() ? BACKLOG_LOW : HTTP_BACKLOG_MAX;
    if (connection_backlog(connection) <= most) {
        return true;
    }
    connection->answer = ANSWER_BACKED_UP;
    return false;
}

void connection_cut(struct http_connection *connection)
{
    if (connection->cut_is_unseen) {
        wire_reset_on_close(connection->bev);
    }
    connection_close(connection);
}

static void finish_answer(struct http_connection *connection, const struct view parts[2],
                          bool keep_alive, bool unread)
{
    connection->exchange = NULL;
    connection->is_last = connection->is_last || !keep_alive;
    connection->unread = unread;
    if (!wire_send(connection->bev, parts, 2)) {
        connection_close(connection);
        return;
    }
    if (wire_unsent(connection->bev) > 0) {
        connection->progress = wire_unacknowledged(connection->bev);
        connection->progress_ms = clock_monotonic_ms();
        connection_set_state(connection, CONNECTION_WRITING);
    } else {
        go_on(connection);
    }
}

void connection_answer(struct http_connection *connection, struct view head, struct view body,
                       bool keep_alive, bool unread)
{
    const struct view parts[] = {head, body};
    if (head.len > 0) {
        finish_answer(connection, parts, keep_alive, unread);
    } else {
        connection->exchange = NULL;
        connection_close(connection);
    }
}

void connection_end_answer(struct http_connection *connection, struct view tail, bool keep_alive,
                           bool unread)
{
    const struct view parts[] = {tail, {0}};
    if (connection->is_broken) {
        connection->exchange = NULL;
        connection_cut(connection);
        return;
    }
    connection->answer = ANSWER_ENDS;
    bufferevent_setwatermark(connection->bev, EV_WRITE, 0, 0);
    finish_answer(connection, parts, keep_alive, unread);
}

void connection_refuse(struct http_connection *connection, enum refusal refusal)
{
    struct http_core *core = connection->core;
    if (connection->answer != ANSWER_NONE) {
        connection_cut(connection);
        return;
    }
    struct http_exchange *exchange = TAKE(connection->exchange);
    struct http_response response;
    char id[HTTP_REQUEST_ID_SIZE];
    if (exchange == NULL) {
        core_new_id(core, id);
    }
    const char *shown_id = exchange == NULL ? id : http_exchange_request_id(exchange);
    response_refusal(&core->writer, refusal, shown_id, &response);
    const struct response_form form = {
        .connection = RESPONSE_CLOSE,
        .length = response.body.len,
        .is_secure = wire_is_tls(connection->bev),
        .origin = exchange == NULL ? (struct view){0} : http_exchange_header(exchange, "Origin")};
    struct view head = response_head(&core->writer, &response, shown_id, &form);
    bool bodiless = exchange != NULL && exchange_is_head(exchange);
    connection_answer(connection, head, bodiless ? (struct view){0} : response.body, false, true);
    if (exchange != NULL) {
        exchange_abandon(exchange);
    }
}

void connection_on_written(struct bufferevent *bev, void *arg)
{
    struct http_connection *connection = arg;
    (void)bev;
    if (connection->state == CONNECTION_WRITING && wire_unsent(connection->bev) == 0) {
        go_on(connection);
    } else if (connection->answer == ANSWER_BACKED_UP &&
               wire_unsent(connection->bev) <= BACKLOG_LOW) {
        connection->answer = ANSWER_FLOWS;
        exchange_drained(connection->exchange);
    }
}

/* A client that takes nothing holds its source back, for a long time if its TCP is alive. */
bool connection_answer_is_stalled(struct http_connection *connection)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t acknowledged = connection->sent - (int64_t)wire_unacknowledged(connection->bev);
    if (acknowledged > connection->acknowledged || acknowledged == connection->sent) {
        connection->acknowledged = acknowledged;
        connection->progress_ms = now_ms;
        return false;
    }
    return wire_peer_is_silent(connection->bev) ||
           now_ms - connection->progress_ms >= connection->core->limits.stream_stall_ms;
}

void connection_check_writing(struct http_connection *connection)
{
    int64_t now_ms = clock_monotonic_ms();
    size_t left = wire_unacknowledged(connection->bev);
    if (left < connection->progress) {
        connection->progress = left;
        connection->progress_ms = now_ms;
    } else if (now_ms - connection->progress_ms >= connection->core->limits.write_stall_ms) {
        wire_reset_on_close(connection->bev);
        connection_close(connection);
        return;
    }
    connection_arm(connection);
}
