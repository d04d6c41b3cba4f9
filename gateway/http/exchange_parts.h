/* gateway/http/exchange_parts.h: the exchange, for the files that are it: its head and whole answer
 * (exchange.c), its body (exchange_body.c), its streamed answer (exchange_answer.c). */
#ifndef GATEWAY_HTTP_EXCHANGE_PARTS_H
#define GATEWAY_HTTP_EXCHANGE_PARTS_H

#include "gateway/http/address.h"
#include "gateway/http/body.h"
#include "gateway/http/exchange.h"

struct exchange_answer {
    bool begun;
    bool bodiless;
    bool keep_alive; /* as its head says */
    enum response_framing framing;
    uint64_t left; /* of RESPONSE_LENGTH */
    http_drained_fn *on_drained;
    void *on_drained_arg;
};

struct http_exchange {
    struct http_connection *connection; /* borrowed; NULL when it is gone */
    struct parser *parser;              /* owned; the head lies in it */
    struct http_head head;
    struct body body;
    bool keep_alive;
    bool is_1_0;
    bool expects_continue;
    bool collects;             /* the handler waits for on_body or on_end */
    enum refusal refusal;      /* to answer instead of the handler, on a connection that stays */
    enum refusal body_refusal; /* of a streamed body, before its first byte */
    http_body_fn *on_body;
    void *on_body_arg;
    struct http_body_events body_events;
    struct exchange_answer answer;
    http_gone_fn *on_gone;
    void *on_gone_arg;
    struct trace trace;
    bool brings_trace; /* the traceparent is the client's */
    char peer[ADDRESS_TEXT_SIZE];
    bool has_client; /* not of unix sockets */
    struct address client;
    struct str added; /* owned; lines of http_exchange_add_headers */
};

/* Accepts NULL. */
void exchange_free(struct http_exchange *exchange);

/* A body that nobody asked for, or asks for any more, and that is here already, is dropped: the
 * connection can stay. True when the body has been read to its end. */
bool exchange_drop_body(struct http_exchange *exchange) MUST_CHECK;

/* The head of an answer with that body length; the connection stays if keep_alive. Valid until the
 * next one. */
struct view exchange_head(struct http_exchange *exchange, const struct http_response *response,
                          bool keep_alive, enum response_framing framing, uint64_t length);

#endif
