/* gateway/native/body_relay.h: the body of a request on its way into a stream of the agent, as fast
 * as the agent takes it. */
#ifndef GATEWAY_NATIVE_BODY_RELAY_H
#define GATEWAY_NATIVE_BODY_RELAY_H

#include "common/base/str.h"
#include "gateway/http/server.h"
#include "gateway/hub/stream.h"

/* The largest body that is streamed. */
static const uint64_t STREAMED_BODY_MAX = (uint64_t)16 << 30U;

/* Lies in the owner's work. */
struct body_relay {
    struct http_exchange *exchange; /* borrowed */
    struct hub_stream *stream;      /* borrowed; NULL: what comes is dropped */
    struct str waiting;             /* of the last piece, what the agent does not take yet */
    size_t sent;                    /* of waiting */
    bool ended;                     /* the body is whole */
};

/* Begins to read; a fin follows the last byte. Too large, too slow and broken bodies are answered
 * by the server (http_stream_body). */
void body_relay_begin(struct body_relay *relay, struct http_exchange *exchange,
                      struct hub_stream *stream);
/* The stream's on_window. */
void body_relay_go_on(struct body_relay *relay);
/* The stream is gone: the rest of the body is of no use. */
void body_relay_stop(struct body_relay *relay);
/* Frees what waits; before the exchange or the stream go. */
void body_relay_close(struct body_relay *relay);

#endif
