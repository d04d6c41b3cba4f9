#include "gateway/native/body_relay.h"

enum { WAITING_MAX = 4 * 1024 * 1024 }; /* more than one piece ever is */

/* Sends what the agent takes of bytes; returns how much that was. */
static size_t send_some(const struct body_relay *relay, struct view bytes)
{
    size_t credit = hub_stream_credit(relay->stream);
    size_t len = bytes.len < credit ? bytes.len : credit;
    return len > 0 && hub_stream_send(relay->stream, (struct view){bytes.ptr, len}) ? len : 0;
}

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    struct body_relay *relay = arg;
    if (relay->stream == NULL) {
        return;
    }
    size_t sent = send_some(relay, bytes);
    if (sent < bytes.len) {
        str_append_view(&relay->waiting, view_from(bytes, sent));
        http_body_pause(exchange);
    }
}

static void on_end(struct http_exchange *exchange, void *arg)
{
    (void)exchange;
    struct body_relay *relay = arg;
    relay->ended = true;
    if (relay->stream != NULL) {
        hub_stream_send_fin(relay->stream);
    }
}

void body_relay_begin(struct body_relay *relay, struct http_exchange *exchange,
                      struct hub_stream *stream)
{
    static const struct http_body_events events = {.on_piece = on_piece, .on_end = on_end};
    relay->exchange = exchange;
    relay->stream = stream;
    relay->waiting = STR_INIT(WAITING_MAX);
    http_stream_body(exchange, STREAMED_BODY_MAX, &events, relay);
}

void body_relay_go_on(struct body_relay *relay)
{
    struct view left = view_from(str_view(&relay->waiting), relay->sent);
    if (left.len == 0 || relay->stream == NULL) {
        return;
    }
    relay->sent += send_some(relay, left);
    if (relay->sent == relay->waiting.len) {
        str_clear(&relay->waiting);
        relay->sent = 0;
        http_body_resume(relay->exchange);
    }
}

void body_relay_stop(struct body_relay *relay)
{
    relay->stream = NULL;
    str_clear(&relay->waiting);
    relay->sent = 0;
}

void body_relay_close(struct body_relay *relay)
{
    relay->stream = NULL;
    str_free(&relay->waiting);
}
