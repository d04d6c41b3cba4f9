#include "gateway/http/exchange.h"

#include "common/base/clock.h"
#include "gateway/http/body.h"
#include "gateway/http/parser.h"
#include "gateway/http/syntax.h"
#include "gateway/http/target.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>

struct http_exchange {
    struct http_connection *connection; /* borrowed; NULL when it is gone */
    struct parser *parser;              /* owned; the head lies in it */
    struct http_head head;
    struct body body;
    bool keep_alive;
    bool is_1_0;
    bool expects_continue;
    bool collects;        /* the handler waits for on_body */
    enum refusal refusal; /* to answer instead of the handler, on a connection that stays */
    http_body_fn *on_body;
    void *on_body_arg;
    http_gone_fn *on_gone;
    void *on_gone_arg;
    char id[HTTP_REQUEST_ID_SIZE];
    char peer[ADDRESS_TEXT_SIZE];
};

static void free_exchange(struct http_exchange *exchange)
{
    if (exchange != NULL) {
        body_free(&exchange->body);
        parser_free(exchange->parser);
        free(exchange);
    }
}

static bool is_request_id(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return text.len > 0 && text.len < HTTP_REQUEST_ID_SIZE;
}

static void choose_id(struct http_exchange *exchange)
{
    struct view theirs = http_exchange_header(exchange, "X-Request-Id");
    if (!is_request_id(theirs) || !view_copy(theirs, exchange->id, sizeof exchange->id)) {
        core_new_id(exchange->connection->core, exchange->id);
    }
}

/* HTTP/1.0 knows no Expect (RFC 9110, 10.1.1). */
static void read_expect(struct http_exchange *exchange)
{
    struct view expect = http_exchange_header(exchange, "Expect");
    if (exchange->is_1_0 || expect.ptr == NULL) {
        return;
    }
    exchange->expects_continue = view_equal_nocase(expect, VIEW("100-continue"));
    if (!exchange->expects_continue) {
        exchange->refusal = REFUSAL_EXPECTATION;
    }
}

static void fill_head(struct http_exchange *exchange, const struct parsed_head *parsed,
                      const struct head_check *check)
{
    struct http_head *head = &exchange->head;
    struct target target;
    *head = (struct http_head){
        .method = check->method,
        .headers = parsed->headers,
        .header_count = parsed->header_count,
        .has_body = !exchange->body.complete,
    };
    bool well_formed = target_split(parsed->target, check->method == HTTP_OPTIONS, &target);
    assert(well_formed); /* head_check has split it too */
    head->path = target.path;
    head->query = target.query;
    head->host = target.host.len > 0 ? target.host : http_exchange_header(exchange, "Host");
    head->wants_upgrade =
        parsed->upgrade && !check->is_1_0 && !head->has_body &&
        syntax_list_has(http_exchange_header(exchange, "Upgrade"), VIEW("websocket"));
    exchange->refusal = target_escapes_are_valid(&target) ? REFUSAL_NONE : REFUSAL_ESCAPES;
}

/* Lets llhttp read the head that head_check has passed. They must agree about the framing. */
static enum refusal read_head(struct http_exchange *exchange, const struct head_check *check)
{
    struct parsed_head parsed;
    if (!parser_read_head(exchange->parser, &parsed)) {
        return REFUSAL_MALFORMED;
    }
    body_init(&exchange->body, check, exchange->parser);
    if (parsed.is_chunked != check->is_chunked || parsed.content_length != check->content_length ||
        parser_is_complete(exchange->parser) != exchange->body.complete) {
        return REFUSAL_FRAMING;
    }
    exchange->keep_alive = parsed.keep_alive;
    exchange->is_1_0 = check->is_1_0;
    fill_head(exchange, &parsed, check);
    read_expect(exchange);
    choose_id(exchange);
    return REFUSAL_NONE;
}

struct http_exchange *exchange_new(struct http_connection *connection, struct view head,
                                   enum refusal *refusal)
{
    const struct head_check *check = &connection->check;
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    struct parser *parser = parser_new(head, check->header_count);
    if (exchange == NULL || parser == NULL) {
        *refusal = REFUSAL_INTERNAL;
        parser_free(parser);
        free(exchange);
        return NULL;
    }
    exchange->connection = connection;
    exchange->parser = parser;
    memcpy(exchange->peer, connection->peer, sizeof exchange->peer);
    *refusal = read_head(exchange, check);
    if (*refusal != REFUSAL_NONE) {
        free_exchange(exchange);
        return NULL;
    }
    return exchange;
}

void exchange_dispatch(struct http_exchange *exchange, void *arg)
{
    if (exchange->refusal == REFUSAL_NONE) {
        exchange->connection->core->on_request(exchange, arg);
        return;
    }
    struct http_response response;
    response_refusal(&exchange->connection->core->writer, exchange->refusal, exchange->id,
                     &response);
    http_respond(exchange, &response);
}

const struct http_head *http_exchange_head(const struct http_exchange *exchange)
{
    return &exchange->head;
}

struct view http_exchange_header(const struct http_exchange *exchange, const char *name)
{
    struct view wanted = view_of(name);
    for (size_t i = 0; i < exchange->head.header_count; i++) {
        if (view_equal_nocase(exchange->head.headers[i].name, wanted)) {
            return exchange->head.headers[i].value;
        }
    }
    return (struct view){0};
}

const char *http_exchange_request_id(const struct http_exchange *exchange)
{
    return exchange->id;
}

const char *http_exchange_peer(const struct http_exchange *exchange)
{
    return exchange->peer;
}

bool exchange_is_head(const struct http_exchange *exchange)
{
    return exchange->head.method == HTTP_HEAD;
}

void http_on_gone(struct http_exchange *exchange, http_gone_fn *on_gone, void *arg)
{
    exchange->on_gone = on_gone;
    exchange->on_gone_arg = arg;
}

void exchange_abandon(struct http_exchange *exchange)
{
    exchange->connection = NULL;
    bool answer_comes = exchange->on_gone == NULL && !exchange->collects;
    if (exchange->on_gone != NULL) {
        exchange->on_gone(exchange->on_gone_arg);
    }
    if (!answer_comes) {
        free_exchange(exchange);
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
    bool waits = exchange->expects_continue && !exchange->body.complete &&
                 evbuffer_get_length(bufferevent_get_input(connection->bev)) == 0;
    if (waits) {
        connection_send(connection, VIEW("HTTP/1.1 100 Continue\r\n\r\n"), (struct view){0});
    }
    if (!waits || connection->state != CONNECTION_CLOSED) {
        connection_read_body(connection);
    }
}

static void finish_body(struct http_exchange *exchange)
{
    exchange->collects = false;
    connection_end_body(exchange->connection);
    struct view body = str_view(&exchange->body.data);
    exchange->on_body(exchange, body.len == 0 ? VIEW("") : body, exchange->on_body_arg);
}

void exchange_feed(struct http_exchange *exchange, struct evbuffer *input)
{
    enum refusal refusal = REFUSAL_NONE;
    int64_t now_ms = clock_monotonic_ms();
    struct evbuffer_iovec piece;
    while (!exchange->body.complete && refusal == REFUSAL_NONE &&
           evbuffer_peek(input, -1, NULL, &piece, 1) > 0) {
        size_t used;
        struct view bytes = {piece.iov_base, piece.iov_len};
        refusal = body_feed(&exchange->body, bytes, now_ms, &used);
        (void)evbuffer_drain(input, used);
    }
    if (refusal != REFUSAL_NONE) {
        connection_refuse(exchange->connection, refusal);
    } else if (exchange->body.complete) {
        finish_body(exchange);
    }
}

bool exchange_is_too_slow(const struct http_exchange *exchange)
{
    return body_is_too_slow(&exchange->body, &exchange->connection->core->limits,
                            clock_monotonic_ms());
}

/* A body that nobody asked for, and that is here already, is dropped: the connection can stay. */
static bool drop_body(struct http_exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->connection->bev);
    struct body *body = &exchange->body;
    if (!body->complete && !body->is_chunked && evbuffer_get_length(input) >= body->left) {
        (void)evbuffer_drain(input, (size_t)body->left);
        body->complete = true;
    }
    return body->complete;
}

void http_respond(struct http_exchange *exchange, const struct http_response *response)
{
    struct http_connection *connection = exchange->connection;
    if (connection != NULL) {
        bool read = drop_body(exchange);
        bool keep_alive = read && exchange->keep_alive && !connection->is_last;
        enum response_connection mode =
            exchange->is_1_0 ? RESPONSE_KEEP_ALIVE_1_0 : RESPONSE_KEEP_ALIVE;
        struct view head = response_head(&connection->core->writer, response, exchange->id,
                                         keep_alive ? mode : RESPONSE_CLOSE);
        bool bodiless = exchange_is_head(exchange) || !response_has_body(response->status);
        exchange->connection = NULL;
        connection_answer(connection, head, bodiless ? (struct view){0} : response->body,
                          keep_alive, !read);
    }
    free_exchange(exchange);
}

static const struct {
    const char *reason;
    int status;
} own_statuses[] = {
    {"upgrade_required", 426},
    {"unsupported_media_type", 415},
};

/* The messages of the last three codes are for the log. */
static const char *public_sentence(const struct err *err)
{
    switch (err->code) {
    case ERR_UNAVAILABLE:
        return "A service is not available; try again shortly";
    case ERR_TIMEOUT:
        return "A service did not answer in time; try again";
    default:
        return err_message_is_public(err->code) ? err->message : "Something went wrong on our side";
    }
}

void http_respond_err(struct http_exchange *exchange, const struct err *err)
{
    if (exchange->connection == NULL) {
        free_exchange(exchange);
        return;
    }
    int status = err_http_status(err->code);
    for (size_t i = 0; i < sizeof own_statuses / sizeof own_statuses[0]; i++) {
        if (strcmp(own_statuses[i].reason, err->reason) == 0) {
            status = own_statuses[i].status;
        }
    }
    struct http_response response;
    response_error(&exchange->connection->core->writer, status, err->reason, public_sentence(err),
                   exchange->id, &response);
    http_respond(exchange, &response);
}

struct http_place *http_exchange_take_place(struct http_exchange *exchange)
{
    return exchange->connection == NULL ? NULL : TAKE(exchange->connection->place);
}

struct bufferevent *http_upgrade(struct http_exchange *exchange, const struct http_header *headers,
                                 size_t header_count)
{
    struct http_connection *connection = TAKE(exchange->connection);
    if (connection == NULL) {
        return NULL;
    }
    struct view head =
        response_switch(&connection->core->writer, exchange->id, headers, header_count);
    connection->exchange = NULL;
    if (head.len > 0) {
        connection_send(connection, head, (struct view){0});
    } else {
        connection_close(connection);
    }
    if (connection->state == CONNECTION_CLOSED) {
        return NULL;
    }
    free_exchange(exchange);
    return connection_take_bev(connection);
}
