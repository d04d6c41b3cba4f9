/* gateway/http/websocket.h: the server's side of the opening handshake (RFC 6455, section 4.2). */
#ifndef GATEWAY_HTTP_WEBSOCKET_H
#define GATEWAY_HTTP_WEBSOCKET_H

#include "common/base/err.h"
#include "common/base/view.h"

struct bufferevent;
struct http_exchange;

/* Whether the request may become a WebSocket: GET, the upgrade headers, version 13, a good key.
 * ERR_INVALID "invalid_handshake", or for another version "upgrade_required", which is 426. */
bool websocket_check(const struct http_exchange *exchange, struct err *err) MUST_CHECK;

/* Whether the client offers this sub-protocol. */
bool websocket_offers(const struct http_exchange *exchange, struct view protocol) MUST_CHECK;

/* Sends 101 and hands the connection over (the caller owns it). protocol: one that is offered, or
 * "" for none. NULL with nothing sent when it just broke. The exchange was checked before. */
struct bufferevent *websocket_upgrade(struct http_exchange *exchange, struct view protocol,
                                      struct err *err) MUST_CHECK;

#endif
