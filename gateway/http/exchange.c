#include "gateway/http/exchange.h"

#include "common/base/log.h"
#include "gateway/http/cors.h"
#include "gateway/http/exchange_parts.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/parser.h"
#include "gateway/http/syntax.h"
#include "gateway/http/target.h"
#include "gateway/http/wire.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>

void exchange_free(struct http_exchange *exchange)
{
    if (exchange != NULL) {
        body_free(&exchange->body);
        parser_free(exchange->parser);
        str_free(&exchange->added);
        free(exchange);
    }
}

/* The only header of that name; empty when there is none, or several. */
static struct view only_header(const struct http_exchange *exchange, const char *name)
{
    const struct http_head *head = &exchange->head;
    struct view found = {0};
    for (size_t i = 0; i < head->header_count; i++) {
        if (view_equal_nocase(head->headers[i].name, view_of(name))) {
            if (found.ptr != NULL) {
                return (struct view){0};
            }
            found = head->headers[i].value;
        }
    }
    return found;
}

static bool choose_trace(struct http_exchange *exchange)
{
    struct trace *trace = &exchange->trace;
    struct view id = http_exchange_header(exchange, "X-Request-Id");
    struct err err = {0};
    if (!trace_is_request_id(id) || !view_copy(id, trace->request_id, sizeof trace->request_id)) {
        core_new_id(exchange->connection->core, trace->request_id);
    }
    exchange->brings_trace = trace_read_parent(only_header(exchange, "traceparent"), trace->parent);
    if (exchange->brings_trace || trace_make_parent(trace->parent, &err)) {
        return true;
    }
    log_error("http.no_trace", LOG_TRACE(trace), LOG_ERR(&err));
    return false;
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
    return choose_trace(exchange) ? REFUSAL_NONE : REFUSAL_INTERNAL;
}

static void read_client(struct http_exchange *exchange)
{
    const struct address_list *proxies = &exchange->connection->core->proxies;
    const struct http_head *head = &exchange->head;
    const struct address *peer = &exchange->connection->address;
    exchange->has_client = exchange->connection->has_address;
    if (exchange->has_client && proxies->count > 0) {
        struct forwarded forwarded;
        forwarded_read(proxies, peer, head->headers, head->header_count, &forwarded);
        exchange->client = forwarded.client;
        address_format(&exchange->client, exchange->peer);
    } else if (exchange->has_client) {
        exchange->client = *peer;
    }
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
    exchange->added = STR_INIT(HTTP_ADDED_MAX);
    memcpy(exchange->peer, connection->peer, sizeof exchange->peer);
    *refusal = read_head(exchange, check);
    if (*refusal != REFUSAL_NONE) {
        exchange_free(exchange);
        return NULL;
    }
    read_client(exchange);
    return exchange;
}

static bool has_raw_target(const struct http_exchange *exchange)
{
    const struct http_core *core = exchange->connection->core;
    return exchange->refusal == REFUSAL_ESCAPES && core->is_raw != NULL &&
           core->is_raw(&exchange->head, core->is_raw_arg);
}

void exchange_dispatch(struct http_exchange *exchange, void *arg)
{
    if (exchange->refusal == REFUSAL_NONE || has_raw_target(exchange)) {
        exchange->connection->core->on_request(exchange, arg);
        return;
    }
    struct http_response response;
    response_refusal(&exchange->connection->core->writer, exchange->refusal,
                     exchange->trace.request_id, &response);
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
    return exchange->trace.request_id;
}

const struct trace *http_exchange_trace(const struct http_exchange *exchange)
{
    return &exchange->trace;
}

bool http_exchange_brings_trace(const struct http_exchange *exchange)
{
    return exchange->brings_trace;
}

const char *http_exchange_peer(const struct http_exchange *exchange)
{
    return exchange->peer;
}

const struct address *http_exchange_client(const struct http_exchange *exchange)
{
    return exchange->has_client ? &exchange->client : NULL;
}

bool http_exchange_is_exempt(const struct http_exchange *exchange)
{
    return !exchange->has_client ||
           (exchange->connection != NULL &&
            address_list_has(&exchange->connection->core->exempt, &exchange->client));
}

void http_exchange_add_headers(struct http_exchange *exchange, const struct http_header *headers,
                               size_t count)
{
    response_append_headers(&exchange->added, headers, count);
}

/* Empty when it did not fit. */
static struct view added_lines(const struct http_exchange *exchange)
{
    return exchange->added.failed ? (struct view){0} : str_view(&exchange->added);
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
    bool answer_comes =
        exchange->on_gone == NULL && (!exchange->collects || exchange->answer.begun);
    if (exchange->on_gone != NULL) {
        exchange->on_gone(exchange->on_gone_arg);
    }
    if (!answer_comes) {
        exchange_free(exchange);
    }
}

struct view exchange_head(struct http_exchange *exchange, const struct http_response *response,
                          bool keep_alive, enum response_framing framing, uint64_t length)
{
    enum response_connection stays =
        exchange->is_1_0 ? RESPONSE_KEEP_ALIVE_1_0 : RESPONSE_KEEP_ALIVE;
    const struct response_form form = {
        .connection = keep_alive ? stays : RESPONSE_CLOSE,
        .framing = framing,
        .length = length,
        .is_secure = wire_is_tls(exchange->connection->bev),
        .origin = http_exchange_header(exchange, "Origin"),
        .added = added_lines(exchange),
    };
    return response_head(&exchange->connection->core->writer, response, exchange->trace.request_id,
                         &form);
}

void http_respond(struct http_exchange *exchange, const struct http_response *response)
{
    struct http_connection *connection = exchange->connection;
    if (connection != NULL) {
        bool read = exchange_drop_body(exchange);
        bool keep_alive = read && exchange->keep_alive && !connection->is_last;
        struct view head =
            exchange_head(exchange, response, keep_alive, RESPONSE_LENGTH, response->body.len);
        bool bodiless = exchange_is_head(exchange) || !response_has_body(response->status);
        exchange->connection = NULL;
        connection_answer(connection, head, bodiless ? (struct view){0} : response->body,
                          keep_alive, !read);
    }
    exchange_free(exchange);
}

bool http_is_preflight(const struct http_exchange *exchange)
{
    return exchange->connection->core->writer.origins != NULL && cors_is_preflight(exchange);
}

void http_answer_preflight(struct http_exchange *exchange)
{
    cors_answer_preflight(exchange, view_of(exchange->connection->core->writer.origins));
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
        exchange_free(exchange);
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
                   exchange->trace.request_id, &response);
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
    struct view head = response_switch(&connection->core->writer, exchange->trace.request_id,
                                       headers, header_count, added_lines(exchange));
    connection->exchange = NULL;
    if (head.len == 0 || !connection_send(connection, &head, 1)) {
        connection_close(connection);
        return NULL;
    }
    exchange_free(exchange);
    return connection_take_bev(connection);
}
