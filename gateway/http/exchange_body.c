/* A request's body on its way to the handler, collected or in pieces. */
#include "common/base/clock.h"
#include "gateway/http/exchange_parts.h"
#include "gateway/http/parser.h"

#include <event2/buffer.h>

/* Nothing is said between the bytes of an answer that has begun. */
static void send_continue(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (exchange->expects_continue && !exchange->body.complete && !exchange->answer.begun &&
        evbuffer_get_length(bufferevent_get_input(connection->bev)) == 0) {
        connection_send(connection, &VIEW("HTTP/1.1 100 Continue\r\n\r\n"), 1);
    }
}

void http_read_body(struct http_exchange *exchange, size_t max, http_body_fn *on_body, void *arg)
{
    struct http_connection *connection = exchange->connection;
    exchange->collects = true;
    if (connection == NULL) {
        exchange_abandon(exchange);
        return;
    }
    enum refusal refusal = body_begin(&exchange->body, max, clock_monotonic_ms());
    if (refusal != REFUSAL_NONE) {
        connection_refuse(connection, refusal);
        return;
    }
    exchange->on_body = on_body;
    exchange->on_body_arg = arg;
    send_continue(exchange);
    connection_read_body(connection);
}

int64_t http_exchange_body_length(const struct http_exchange *exchange)
{
    return exchange->body.is_chunked ? HTTP_LENGTH_UNKNOWN : (int64_t)exchange->body.length;
}

void http_stream_body(struct http_exchange *exchange, uint64_t max,
                      const struct http_body_events *events, void *arg)
{
    struct http_connection *connection = exchange->connection;
    exchange->collects = true;
    if (connection == NULL) {
        exchange_abandon(exchange);
        return;
    }
    exchange->body_events = *events;
    exchange->on_body_arg = arg;
    exchange->body_refusal = body_begin_stream(&exchange->body, max, clock_monotonic_ms());
    if (exchange->body_refusal == REFUSAL_NONE) {
        send_continue(exchange);
    }
    connection_stream_body(connection);
}

void http_body_pause(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (connection != NULL && exchange->body.is_streamed && connection->state == CONNECTION_BODY) {
        body_pause(&exchange->body, clock_monotonic_ms());
        connection_pause_body(connection);
    }
}

void http_body_resume(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (connection != NULL && connection->state == CONNECTION_BODY_PAUSED) {
        body_resume(&exchange->body, clock_monotonic_ms());
        connection_stream_body(connection);
    }
}

static void finish_body(struct http_exchange *exchange)
{
    exchange->collects = false;
    connection_end_body(exchange->connection);
    struct view body = str_view(&exchange->body.data);
    exchange->on_body(exchange, body.len == 0 ? VIEW("") : body, exchange->on_body_arg);
}

/* The first of the buffer's bytes that lie next to each other. */
static struct view front_of(struct evbuffer *buffer)
{
    struct evbuffer_iovec front;
    if (evbuffer_peek(buffer, -1, NULL, &front, 1) <= 0) {
        return (struct view){0};
    }
    return (struct view){front.iov_base, front.iov_len};
}

/* Measured bytes move to the connection's taken, which stays whatever the handler does in on_piece;
 * a whole chain of the buffer moves without a copy. */
static enum refusal take_bytes(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct evbuffer *input = bufferevent_get_input(connection->bev);
    struct view bytes = front_of(input);
    size_t used = 0;
    if (bytes.len == 0 || exchange->body.is_measured) {
        return REFUSAL_NONE;
    }
    enum refusal refusal = body_measure(&exchange->body, bytes, clock_monotonic_ms(), &used);
    if (refusal == REFUSAL_NONE &&
        evbuffer_remove_buffer(input, connection->taken, used) != (int)used) {
        refusal = REFUSAL_INTERNAL;
    }
    return refusal;
}

/* Hands over the next data of the bytes that were taken. */
static enum refusal hand_over(struct http_exchange *exchange)
{
    struct evbuffer *taken = exchange->connection->taken;
    struct view bytes = front_of(taken);
    struct view piece;
    size_t used;
    bytes.len = bytes.len < HTTP_PIECE_MAX ? bytes.len : (size_t)HTTP_PIECE_MAX;
    enum refusal refusal = body_next_piece(&exchange->body, bytes,
                                           bytes.len == evbuffer_get_length(taken), &piece, &used);
    if (refusal == REFUSAL_NONE && piece.len > 0) {
        exchange->body_events.on_piece(exchange, piece, exchange->on_body_arg);
    }
    (void)evbuffer_drain(taken, used);
    return refusal;
}

static void end_stream(struct http_exchange *exchange)
{
    exchange->collects = false;
    connection_end_body(exchange->connection);
    exchange->body_events.on_end(exchange, exchange->on_body_arg);
}

/* The handler may pause, answer or break the connection in each piece. */
static void feed_stream(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    enum refusal refusal = exchange->body_refusal;
    while (refusal == REFUSAL_NONE && connection->exchange == exchange &&
           connection->state == CONNECTION_BODY) {
        if (exchange->body.complete) {
            end_stream(exchange);
            return;
        }
        if (evbuffer_get_length(connection->taken) == 0) {
            refusal = take_bytes(exchange);
        }
        if (refusal == REFUSAL_NONE && evbuffer_get_length(connection->taken) == 0) {
            return;
        }
        refusal = refusal == REFUSAL_NONE ? hand_over(exchange) : refusal;
    }
    if (refusal != REFUSAL_NONE) {
        connection_refuse(connection, refusal);
    }
}

static void collect(struct http_exchange *exchange, struct evbuffer *input)
{
    enum refusal refusal = REFUSAL_NONE;
    int64_t now_ms = clock_monotonic_ms();
    while (!exchange->body.complete && refusal == REFUSAL_NONE && evbuffer_get_length(input) > 0) {
        size_t used;
        struct view bytes = front_of(input);
        refusal = body_feed(&exchange->body, bytes, now_ms, &used);
        (void)evbuffer_drain(input, used);
    }
    if (refusal != REFUSAL_NONE) {
        connection_refuse(exchange->connection, refusal);
    } else if (exchange->body.complete) {
        finish_body(exchange);
    }
}

void exchange_feed(struct http_exchange *exchange, struct evbuffer *input)
{
    if (exchange->body.is_streamed) {
        feed_stream(exchange);
    } else {
        collect(exchange, input);
    }
}

bool exchange_is_too_slow(const struct http_exchange *exchange)
{
    return body_is_too_slow(&exchange->body, &exchange->connection->core->limits,
                            clock_monotonic_ms());
}

bool exchange_drop_body(struct http_exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->connection->bev);
    struct body *body = &exchange->body;
    body->complete = body->complete || body->is_measured;
    if (!body->complete && !body->is_chunked && evbuffer_get_length(input) >= body->left) {
        (void)evbuffer_drain(input, (size_t)body->left);
        body->complete = true;
    }
    return body->complete;
}
