#include "gateway/http/websocket.h"

#include "common/ws/handshake.h"
#include "gateway/http/server.h"

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

struct bufferevent *websocket_upgrade(struct http_exchange *exchange, struct err *err)
{
    char accept[WS_ACCEPT_SIZE];
    ws_accept_of(http_exchange_header(exchange, "Sec-WebSocket-Key"), accept);
    const struct http_header headers[] = {
        {VIEW("Upgrade"), VIEW("websocket")},
        {VIEW("Connection"), VIEW("Upgrade")},
        {VIEW("Sec-WebSocket-Accept"), view_of(accept)},
    };
    struct bufferevent *bev = http_upgrade(exchange, headers, sizeof headers / sizeof headers[0]);
    if (bev == NULL) {
        err_set(err, ERR_UNAVAILABLE, "the connection broke during the handshake");
    }
    return bev;
}
