/* gateway/http/exchange.h: what a connection does with its exchange. */
#ifndef GATEWAY_HTTP_EXCHANGE_H
#define GATEWAY_HTTP_EXCHANGE_H

#include "gateway/http/connection.h"

/* Of a head that head_check passed; copies it. NULL, with the refusal, when it is refused. */
struct http_exchange *exchange_new(struct http_connection *connection, struct view head,
                                   enum refusal *refusal) MUST_CHECK;
/* Gives it to on_request, or answers what needs no handler. */
void exchange_dispatch(struct http_exchange *exchange, void *arg);

/* Takes what belongs to the body off input; at its end calls on_body. */
void exchange_feed(struct http_exchange *exchange, struct evbuffer *input);
/* The backlog of its streamed answer is short again. */
void exchange_drained(const struct http_exchange *exchange);
bool exchange_is_too_slow(const struct http_exchange *exchange);

/* Its handler can't answer it any more: calls on_gone and frees. Without an on_gone the handler
 * does not know and will answer; the exchange waits for that. */
void exchange_abandon(struct http_exchange *exchange);

bool exchange_is_head(const struct http_exchange *exchange);

#endif
