/* gateway/native/client_relay.h: what one client's WebSocket has asked of its sandbox's agent: the
 * requests without an answer and the open streams. */
#ifndef GATEWAY_NATIVE_CLIENT_RELAY_H
#define GATEWAY_NATIVE_CLIENT_RELAY_H

#include "common/audit/record.h"
#include "common/base/map.h"
#include "common/base/trace.h"
#include "common/ws/socket.h"
#include "gateway/hub/hub.h"
#include "gateway/native/client_admission.h"

struct audit_act;
struct json_envelope;
struct pending;
struct pending_look;
struct recorder;

enum {
    CLIENT_OUTSTANDING_MAX = 256, /* requests of one socket without an answer */
    CLIENT_STREAMS_MAX = 256,     /* of one socket */
    CLIENT_ID_MAX = 64,
    CLIENT_BACKLOG_SOFT = 1024 * 1024, /* bytes; over it no stream is granted more */
    CLIENT_BACKLOG_LOW = 64 * 1024,    /* until so few are left; or over it, when memory is short */
    CLIENT_SCOPE_SIZE = 2 * ID_SIZE + 1,
};

/* Of the sockets it works on. */
extern const struct ws_limits client_limits;

/* Lies in the client. */
struct client_relay {
    struct hub *hub;          /* borrowed */
    struct ws_socket *socket; /* borrowed */
    unsigned scopes;          /* of the caller: set before it is opened */
    char sandbox_id[ID_SIZE];
    struct trace trace; /* of the request that became the socket, for the log; the owner's to set */
    char scope[CLIENT_SCOPE_SIZE]; /* "<user id>/<session>": repeats of an exec are answered, not
                                      run again, across sockets of that scope; "": they are not */
    struct recorder
        *recorder;         /* borrowed; NULL: nothing is recorded; the owner's to set, as next */
    struct actor actor;    /* who is there, for the records */
    struct audit_act *act; /* owned; of the message that is just taken */
    struct client_admission admission; /* what the messages cost */
    struct pending *pending;   /* borrowed; where a scope's requests are recorded; NULL: nowhere */
    struct pending_look *look; /* NULL while none is in flight */
    struct list requests;      /* without an answer, but for those of streams */
    struct list streams;
    struct map streams_by_id;  /* the client's ids */
    size_t unanswered;         /* requests, with those of streams */
    struct hub_room room;      /* waited for with the socket paused */
    struct list held;          /* by client_life, with the socket paused */
    const struct err *refusal; /* borrowed; of the next message, by client_life; NULL: none */
    void (*on_answered)(void *arg);
    void *arg;
};

/* Before relay->socket is there; on_answered comes behind each answer. */
bool client_relay_open(struct client_relay *relay, struct hub *hub, const char sandbox_id[ID_SIZE],
                       void (*on_answered)(void *arg), void *arg, struct err *err) MUST_CHECK;
/* From now on its messages cost that; with relay->socket. Those that can't be paid are answered
 * with an error and retryAfterMs; who goes on with them is sent away (1008). */
void client_relay_count(struct client_relay *relay, struct limits *limits,
                        const struct limit_request *costs);
/* The client has come with a session: it is told, once, what became of the session's requests that
 * wait for their answer. Borrows pending (NULL: nothing is told) for the relay's
 * life. With relay->socket. */
void client_relay_enter_scope(struct client_relay *relay, struct pending *pending,
                              const char user_id[ID_SIZE], const char session[ID_SIZE]);
/* Forgets what is unanswered and closes the streams: what they did goes on in the sandbox. Nothing
 * is sent. Accepts one that is zero or closed. */
void client_relay_close(struct client_relay *relay);

/* Answers what is unanswered, and ends the streams, with this error. */
void client_relay_fail(struct client_relay *relay, const struct err *err);

/* A message of the client. */
void client_relay_take(struct client_relay *relay, enum ws_opcode opcode, struct view message);
/* The client has taken most of what it was sent. */
void client_relay_on_drained(struct client_relay *relay);

/* Between this folder's client_relay.c and client_streams.c: */

enum client_stream_kind {
    CLIENT_STREAM_PROCESS,
    CLIENT_STREAM_WATCH,
    CLIENT_STREAM_OTHER,
};
/* A request that opens a stream; before stands for what is in text before its id. */
bool client_stream_open(struct client_relay *relay, enum client_stream_kind kind,
                        struct view before, struct view text, const struct json_envelope *envelope,
                        struct err *err) MUST_CHECK;
void client_stream_take_frame(struct client_relay *relay, struct view message);
/* False: no watch is open by that id. */
bool client_stream_unwatch(struct client_relay *relay, uint32_t id) MUST_CHECK;
/* The client has room again. */
void client_streams_on_drained(struct client_relay *relay);
void client_streams_fail(struct client_relay *relay, const struct err *err);
void client_streams_close(struct client_relay *relay);

/* client_record.c: relay->act has its place in the audit trail, when what text asks for is recorded
 * at all (action; AUDIT_ACTION_COUNT: it never is). */
bool client_record_begin(struct client_relay *relay, enum audit_action action, struct view type,
                         struct view text, struct err *err) MUST_CHECK;
/* The agent has answered. Takes act. */
void client_record_end(struct audit_act *act, const struct hub_reply *reply, const struct err *err);

/* Stops reading the client until the agent takes more. */
void client_relay_hold(struct client_relay *relay);
void client_relay_send(struct client_relay *relay, enum ws_opcode opcode, const struct view *parts,
                       size_t part_count);
void client_relay_send_error(struct client_relay *relay, struct view id, const struct err *err);
/* The agent's answer with the client's id, and stream_id (0: none of the client's) in their places.
 */
void client_relay_send_reply(struct client_relay *relay, const struct hub_reply *reply,
                             const char *id, uint32_t stream_id);
void client_relay_count_answer(struct client_relay *relay);
/* Whether the request's repeats are answered, so that it is worth a record. */
bool client_relay_is_repeatable(const struct client_relay *relay,
                                const struct json_envelope *envelope);
/* The client has the final answer to a request that is repeatable. */
void client_relay_settle(struct client_relay *relay, const char *id);

/* The uuid of ?session=, or nothing when there is no such parameter. */
bool client_relay_read_session(const struct http_exchange *exchange, char out[ID_SIZE],
                               struct err *err) MUST_CHECK;

#endif
