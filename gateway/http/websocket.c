#include "gateway/http/websocket.h"

#include "common/ws/handshake.h"
#include "gateway/http/header.h"
#include "gateway/http/server.h"
#include "gateway/http/syntax.h"

bool websocket_check(const struct http_exchange *exchange, struct err *err)
{
    const struct http_head *head = http_exchange_head(exchange);
    if (head->method != HTTP_GET || !head->wants_upgrade) {
        return err_set_reason(err, ERR_INVALID, "invalid_handshake",
                              "this address speaks WebSocket: connect with a WebSocket client");
    }
    if (!view_equal(http_exchange_header(exchange, "Sec-WebSocket-Version"), VIEW("13"))) {
        return err_set_reason(err, ERR_INVALID, "upgrade_required",
                              "only WebSocket version 13 is spoken here");
    }
    return ws_key_is_valid(http_exchange_header(exchange, "Sec-WebSocket-Key")) ||
           err_set_reason(err, ERR_INVALID, "invalid_handshake",
                          "Sec-WebSocket-Key must be 16 bytes in base64");
}

bool websocket_offers(const struct http_exchange *exchange, struct view protocol)
{
    const struct http_head *head = http_exchange_head(exchange);
    for (size_t i = 0; i < head->header_count; i++) {
        struct view list = head->headers[i].value;
        struct view item;
        while (view_equal_nocase(head->headers[i].name, VIEW("Sec-WebSocket-Protocol")) &&
               syntax_next_item(&list, &item)) {
            if (view_equal(item, protocol)) {
                return true;
            }
        }
    }
    return false;
}

struct bufferevent *websocket_upgrade(struct http_exchange *exchange, struct view protocol,
                                      struct err *err)
{
    char accept[WS_ACCEPT_SIZE];
    ws_accept_of(http_exchange_header(exchange, "Sec-WebSocket-Key"), accept);
    const struct http_header headers[] = {
        {VIEW("Upgrade"), VIEW("websocket")},
        {VIEW("Connection"), VIEW("Upgrade")},
        {VIEW("Sec-WebSocket-Accept"), view_of(accept)},
        {VIEW("Sec-WebSocket-Protocol"), protocol},
    };
    size_t count = sizeof headers / sizeof headers[0] - (protocol.len == 0 ? 1 : 0);
    struct bufferevent *bev = http_upgrade(exchange, headers, count);
    if (bev == NULL) {
        err_set(err, ERR_UNAVAILABLE, "the connection broke during the handshake");
    }
    return bev;
}
