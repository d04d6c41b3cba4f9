/* gateway/hub/streams.h: the streams of one session, by their ids on the agent's socket. Inside the
 * hub only. */
#ifndef GATEWAY_HUB_STREAMS_H
#define GATEWAY_HUB_STREAMS_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/event/loop.h"
#include "gateway/hub/stream.h"

struct json_envelope;
struct session;

struct hub_streams {
    struct loop *loop;       /* borrowed */
    struct session *session; /* borrowed */
    struct list open;        /* those that wait longest for room first */
    struct list over;        /* ended by our own fin, their owners don't know yet */
    struct map by_id;        /* of both */
    struct timer settle;     /* tells them, from the loop */
    uint32_t last_id;
    bool small_windows; /* the agent knows STREAM_ID_SMALL */
};

bool hub_streams_begin(struct hub_streams *streams, struct loop *loop, struct session *session,
                       struct err *err) MUST_CHECK;
/* All are lost by now. Accepts streams that are zero. */
void hub_streams_end(struct hub_streams *streams);

/* Opens one on this session. As hub_stream_forward. */
struct hub_stream *hub_streams_open(struct hub_streams *streams,
                                    const struct hub_stream_message *message, int64_t timeout_ms,
                                    const struct hub_stream_events *events, void *arg,
                                    struct err *err) MUST_CHECK;

/* A binary message of the agent. False when it breaks the protocol (err says how): the connection
 * is to be closed with 1002. */
bool hub_streams_on_frame(struct hub_streams *streams, struct view message,
                          struct err *err) MUST_CHECK;
/* A text with a stream's id and no id of a request. */
void hub_streams_on_text(struct hub_streams *streams, struct view text,
                         const struct json_envelope *envelope);
/* An answer nobody waits for any more says that the agent opened a stream: it is closed there. */
void hub_streams_on_stray(struct hub_streams *streams, uint32_t id);
/* The connection takes more again. */
void hub_streams_on_drained(struct hub_streams *streams);

/* The session is over: all streams go to the end of lost and belong to no session. */
void hub_streams_lose(struct hub_streams *streams, struct list *lost);
/* Tells the owners of lost streams, behind the failure of the calls that opened them. */
void hub_streams_fail(struct list *lost, const struct err *err);

#endif
