/* gateway/hub/stream.h: streams between this gateway and an agent (contracts/stream.h), for whoever
 * speaks for a client: its socket, a REST request, the preview proxy.
 *
 * Bytes are not kept here: credit goes end to end. The agent sends only what was granted to it, and
 * the caller sends only what it was granted. */
#ifndef GATEWAY_HUB_STREAM_H
#define GATEWAY_HUB_STREAM_H

#include "common/contracts/stream.h"
#include "gateway/hub/hub.h"

struct hub_stream;

enum { HUB_STREAMS_MAX = 1024 }; /* open to one agent; more: ERR_LIMIT "busy" */

/* A text of the agent about a stream ("exit", "gap", "watchEvent"): whole, and where its member
 * "streamId": n stands, for the caller to put its own there or leave it out. */
struct hub_stream_text {
    struct view text;
    struct view stream_member;
    struct view type;
};

/* On the loop, never from inside a function of this header. In each the stream may be closed. Each
 * may be NULL but on_reply and on_closed. */
struct hub_stream_events {
    /* The answer to the request that opened it, once: err and reply as for hub_reply_fn. With err,
     * or a reply of the type "error", the stream is gone and the pointer no good any more. */
    hub_reply_fn *on_reply;
    /* Bytes of the agent (data, stdout, stderr); valid during the call. */
    void (*on_bytes)(enum stream_kind kind, struct view bytes, void *arg);
    /* The agent takes so many bytes more. 0: its connection, which had taken no more, does again.
     */
    void (*on_window)(uint32_t bytes, void *arg);
    /* The agent's direction has ended. */
    void (*on_fin)(void *arg);
    void (*on_text)(const struct hub_stream_text *text, void *arg);
    /* It is over: a reset with a code of the agent's ("" when it had none), or err (agent_lost,
     * sandbox_gone). It comes with neither when all went well: behind "exit", behind the answer to
     * an upload, behind the fin of a download, behind both fins of a dial. The pointer is no good
     * any more. A stream that is reset before it was answered is not answered. */
    void (*on_closed)(const char *code, const struct err *err, void *arg);
};

/* Sends the request, whose text has a member "streamId" that is replaced by one of ours (or is left
 * without one: then it is added). events is borrowed for ever, message during the call. NULL when
 * it can't begin: as hub_call_begin; ERR_LIMIT "busy" over HUB_STREAMS_MAX of one agent. */
struct hub_stream *hub_stream_open(struct hub *hub, const char sandbox_id[ID_SIZE],
                                   const struct hub_message *message, int64_t timeout_ms,
                                   const struct hub_stream_events *events, void *arg,
                                   struct err *err) MUST_CHECK;

/* A message but for its id, which goes behind before, and its stream's, which follows between. */
struct hub_stream_message {
    struct view before;
    struct view between;
    struct view after;
};
/* Cuts both members out of a text, whichever comes first. Points into text. */
struct hub_stream_message hub_stream_message_around(struct view text, struct view id_member,
                                                    struct view stream_member);
/* hub_stream_open for who knows where the members are. */
struct hub_stream *hub_stream_forward(struct hub *hub, const char sandbox_id[ID_SIZE],
                                      const struct hub_stream_message *message, int64_t timeout_ms,
                                      const struct hub_stream_events *events, void *arg,
                                      struct err *err) MUST_CHECK;

/* Sends data toward the agent (copies). False: over the credit, or the agent's connection takes no
 * more; nothing is sent then. on_window tells when there is room again. */
bool hub_stream_send(struct hub_stream *stream, struct view bytes) MUST_CHECK;
/* What may be sent now. */
uint32_t hub_stream_credit(const struct hub_stream *stream);
void hub_stream_send_fin(struct hub_stream *stream);
/* The agent may send so many bytes more (from STREAM_WINDOW_INITIAL on): at most STREAM_CREDIT_MAX
 * in all at one time. Small grants are put together, and while gateway/http/outflow.h is
 * tight all but STREAM_WINDOW_SMALL of them is withheld. */
void hub_stream_grant(struct hub_stream *stream, uint32_t bytes);
/* For an owner that does not grant what its client takes, but what its client grants: the client
 * has taken most of what came, so that a small window of what is withheld may go. */
void hub_stream_keeps_up(struct hub_stream *stream);

/* Ends it: a reset goes to the agent unless it is over there; no event comes any more. NULL is
 * fine. */
void hub_stream_close(struct hub_stream *stream);

#endif
