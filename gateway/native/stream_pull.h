/* gateway/native/stream_pull.h: what the agent may send, as the client of an answer takes it. */
#ifndef GATEWAY_NATIVE_STREAM_PULL_H
#define GATEWAY_NATIVE_STREAM_PULL_H

#include "gateway/hub/stream.h"

/* Zero to begin with. */
struct stream_pull {
    uint32_t owed; /* used up while the client had enough, and not yet granted again */
    bool is_held;
};

/* bytes of the stream were passed on; has_room: the client takes more. */
static inline void stream_pull_took(struct stream_pull *pull, struct hub_stream *stream,
                                    size_t bytes, bool has_room)
{
    pull->is_held = !has_room;
    if (pull->is_held) {
        pull->owed += (uint32_t)bytes;
    } else {
        hub_stream_grant(stream, (uint32_t)bytes + pull->owed);
        pull->owed = 0;
    }
}

/* The client takes more again. stream may be NULL. */
static inline void stream_pull_resume(struct stream_pull *pull, struct hub_stream *stream)
{
    pull->is_held = false;
    if (stream != NULL && pull->owed > 0) {
        hub_stream_grant(stream, pull->owed);
        pull->owed = 0;
    }
}

#endif
