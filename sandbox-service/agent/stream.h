/* sandbox-service/agent/stream.h: the open streams of the agent's connection to its gateway
 * (contracts/stream.h): who gets which frame, and credit both ways.
 *
 * A stream lives no longer than the connection on which it was asked for. */
#ifndef SANDBOX_AGENT_STREAM_H
#define SANDBOX_AGENT_STREAM_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/contracts/stream.h"
#include "sandbox-service/agent/reply.h"

struct loop;
struct stream;
struct streams; /* all of them */

enum { STREAMS_MAX = 1024 };

/* What the owner of a stream hears, on the loop, never from inside a function of this header. Each
 * may be NULL but on_closed; in each the stream may be closed. */
struct stream_events {
    /* Bytes came, within the credit; valid during the call. The owner calls stream_used for them
     * once they have gone where they belong, now or later. */
    void (*on_bytes)(struct view bytes, void *arg);
    /* No more bytes come. */
    void (*on_fin)(void *arg);
    /* stream_room is not 0: credit came, or the connection takes more again. */
    void (*on_room)(void *arg);
    /* The gateway reset it, or the connection is gone: the owner's pointer is no good any more. */
    void (*on_closed)(void *arg);
};

/* Frames leave by send: header and payload are valid during the call. has_room tells whether the
 * connection takes more now; streams_on_drained is called when it does again. */
struct streams_link {
    void (*send)(void *arg, uint64_t epoch, struct view header, struct view payload);
    bool (*has_room)(void *arg);
    void *arg;
};

struct streams *streams_new(struct loop *loop, const struct streams_link *link,
                            struct err *err) MUST_CHECK;
/* Closes what is open, with on_closed. NULL is fine. */
void streams_free(struct streams *streams);

/* A binary message of the connection epoch. False when it breaks the protocol: the connection is
 * closed with 1002. Frames of a stream that is not open are answered with a reset. */
bool streams_on_message(struct streams *streams, uint64_t epoch, struct view message) MUST_CHECK;
/* The connection is gone: its streams close. */
void streams_on_lost(struct streams *streams);
/* The connection takes more again. */
void streams_on_drained(struct streams *streams);

/* Opens the stream that a request of the connection reply->epoch chose. events is borrowed for
 * ever. ERR_CONFLICT "stream_in_use", ERR_LIMIT "busy". */
struct stream *stream_open(struct streams *streams, const struct reply *reply, uint32_t id,
                           const struct stream_events *events, void *arg,
                           struct err *err) MUST_CHECK;

uint32_t stream_id(const struct stream *stream);
/* Where texts about the stream go: those without an id of a request, like "exit". */
const struct reply *stream_reply(const struct stream *stream);

/* How many bytes may be sent now: 0 without credit, or while the connection is behind. */
size_t stream_room(const struct stream *stream);
/* Sends bytes, at most stream_room of them, as one frame or several. */
void stream_send(struct stream *stream, enum stream_kind kind, struct view bytes);
/* No more bytes follow. The stream stays open until it is closed. */
void stream_send_fin(struct stream *stream);

/* The gateway may have so many bytes more under way at a time, beside STREAM_WINDOW_INITIAL. */
void stream_widen(struct stream *stream, uint32_t bytes);
/* So many of the bytes that came are used up: the gateway may send as many more. */
void stream_used(struct stream *stream, size_t bytes);

/* Ends it without a word: behind the text that says how it ended, or behind both fins. */
void stream_close(struct stream *stream);
/* Ends it with a reset that carries the code; on_closed is not called. */
void stream_reset(struct stream *stream, const char *code);

#endif
