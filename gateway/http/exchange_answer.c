/* An answer that is sent in pieces. */
#include "common/base/log.h"
#include "gateway/http/exchange_parts.h"

#include <assert.h>

enum {
    CHUNK_HEAD_SIZE = 2 * sizeof(size_t) + 2, /* hexadecimal digits, CR, LF */
};

static enum response_framing framing_of(const struct http_exchange *exchange, int64_t length)
{
    if (length >= 0) {
        return RESPONSE_LENGTH;
    }
    return exchange->is_1_0 ? RESPONSE_UNTIL_CLOSE : RESPONSE_CHUNKED;
}

void http_respond_begin(struct http_exchange *exchange, const struct http_response *response,
                        int64_t length, http_drained_fn *on_drained, void *arg)
{
    struct http_connection *connection = exchange->connection;
    struct exchange_answer *answer = &exchange->answer;
    assert(!answer->begun);
    *answer = (struct exchange_answer){
        .begun = true,
        .bodiless = exchange_is_head(exchange) || !response_has_body(response->status),
        .framing = framing_of(exchange, length),
        .left = length >= 0 ? (uint64_t)length : 0,
        .on_drained = on_drained,
        .on_drained_arg = arg,
    };
    if (connection == NULL) {
        return;
    }
    bool reads = exchange->collects || exchange_drop_body(exchange);
    bool cut_is_unseen = answer->framing == RESPONSE_UNTIL_CLOSE && !answer->bodiless;
    answer->keep_alive = reads && exchange->keep_alive && !connection->is_last && !cut_is_unseen;
    struct view head =
        exchange_head(exchange, response, answer->keep_alive, answer->framing, answer->left);
    connection_begin_answer(connection, head, cut_is_unseen);
}

/* Everything in one go, so that a chunk that fits is one write. */
static void send_chunk(struct http_connection *connection, struct view bytes)
{
    static const char digits[] = "0123456789abcdef";
    char head[CHUNK_HEAD_SIZE];
    size_t at = sizeof head;
    head[--at] = '\n';
    head[--at] = '\r';
    for (size_t left = bytes.len; left > 0; left /= 16) {
        head[--at] = digits[left % 16];
    }
    const struct view parts[] = {{head + at, sizeof head - at}, bytes, VIEW("\r\n")};
    connection_send(connection, parts, sizeof parts / sizeof parts[0]);
}

static void send_counted(struct http_exchange *exchange, struct view bytes)
{
    struct exchange_answer *answer = &exchange->answer;
    if (bytes.len > answer->left) {
        log_error("http.answer_too_long", LOG_TRACE(&exchange->trace));
        connection_break(exchange->connection);
        return;
    }
    answer->left -= bytes.len;
    connection_send(exchange->connection, &bytes, 1);
}

bool http_send_piece(struct http_exchange *exchange, struct view bytes)
{
    struct http_connection *connection = exchange->connection;
    assert(exchange->answer.begun);
    if (connection == NULL || bytes.len == 0 || exchange->answer.bodiless) {
        return true;
    }
    switch (exchange->answer.framing) {
    case RESPONSE_LENGTH:
        send_counted(exchange, bytes);
        break;
    case RESPONSE_CHUNKED:
        send_chunk(connection, bytes);
        break;
    case RESPONSE_UNTIL_CLOSE:
        connection_send(connection, &bytes, 1);
        break;
    }
    return connection_has_room(connection);
}

size_t http_stream_backlog(const struct http_exchange *exchange)
{
    return exchange->connection == NULL ? 0 : connection_backlog(exchange->connection);
}

void exchange_drained(const struct http_exchange *exchange)
{
    if (exchange->answer.on_drained != NULL) {
        exchange->answer.on_drained(exchange->answer.on_drained_arg);
    }
}

void http_respond_end(struct http_exchange *exchange)
{
    const struct exchange_answer *answer = &exchange->answer;
    assert(answer->begun);
    bool is_short = answer->framing == RESPONSE_LENGTH && answer->left > 0 && !answer->bodiless;
    if (exchange->connection == NULL || is_short) {
        http_respond_abort(exchange);
        return;
    }
    struct http_connection *connection = exchange->connection;
    bool has_end = answer->framing == RESPONSE_CHUNKED && !answer->bodiless;
    bool read = exchange_drop_body(exchange);
    exchange->connection = NULL;
    connection_end_answer(connection, has_end ? VIEW("0\r\n\r\n") : VIEW(""),
                          read && answer->keep_alive, !read);
    exchange_free(exchange);
}

void http_respond_abort(struct http_exchange *exchange)
{
    struct http_connection *connection = TAKE(exchange->connection);
    if (connection != NULL) {
        connection->exchange = NULL;
        connection_cut(connection);
    }
    exchange_free(exchange);
}
