/* gateway/hub/session.h: one agent's connection, from the upgrade to its end. Inside the hub only.
 */
#ifndef GATEWAY_HUB_SESSION_H
#define GATEWAY_HUB_SESSION_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/contracts/stream.h"
#include "gateway/hub/hub.h"

struct bufferevent;
struct hub_streams;
struct loop;
struct session;

/* What nobody answers any more when a session is over. */
struct session_lost {
    struct list calls;   /* of hub_call.node */
    struct list streams; /* for hub_streams_fail, behind the calls */
};

/* What the hub hears of a session. */
struct session_owner {
    /* The agent is configured and takes calls. */
    void (*on_ready)(struct session *session, void *arg);
    /* It is over; the session is freed after this. What is in lost is the owner's from now on. */
    void (*on_closed)(struct session *session, struct session_lost *lost, void *arg);
    void *arg;
    /* session_want, of one that rests. May be NULL. */
    void (*on_wanted)(struct session *session, void *arg);
};

/* A call waits in its session's list and map, or in the hub's list of the lost. */
struct hub_call {
    struct list node;
    struct map_node by_id;
    struct session *session; /* borrowed; NULL once it is lost */
    struct event *deadline;  /* owned; NULL: none */
    bool is_quiet;           /* asks what nobody in the sandbox wants: no activity of it */
    char id[24];
    hub_reply_fn *done;
    void *arg;
};

/* Takes bev whatever happens, and the contents of configure (the message that answers hello). */
struct session *session_new(struct loop *loop, const char sandbox_id[ID_SIZE],
                            struct bufferevent *bev, struct str *configure,
                            const struct session_owner *owner, struct err *err) MUST_CHECK;
/* While the sandbox rests its agent answers no pings, and is not given up. */
void session_set_rest(struct session *session, bool rests);
bool session_rests(const struct session *session);
/* Somebody wants something done in the sandbox: if it rests, on_wanted is called. Not for what only
 * comes to an end. */
void session_want(struct session *session);
/* What was going on since this was last asked, as bits of enum activity_kind (cache/activity.h). */
unsigned session_take_activity(struct session *session);
/* Starts the closing handshake; on_closed follows. */
void session_close(struct session *session, int code, const char *reason);
/* Ends it without a word; on_closed comes from inside. */
void session_end(struct session *session);

const char *session_sandbox_id(const struct session *session);
bool session_is_ready(const struct session *session);
/* For the hub's map of current sessions and its list of all. */
struct map_node *session_map_node(struct session *session);
struct list *session_list_node(struct session *session);
struct session *session_of_map_node(struct map_node *node);
struct session *session_of_list_node(struct list *node);

/* A message but for its id, which goes behind before; stream_member follows between. */
struct session_request {
    struct view before;
    struct view between;
    struct view stream_member;
    struct view after;
};
struct hub_call *session_call(struct session *session, const struct session_request *request,
                              int64_t timeout_ms, hub_reply_fn *done, void *arg,
                              struct err *err) MUST_CHECK;
/* Unlinks and frees without calling done. */
void hub_call_free(struct hub_call *call);

/* Whether it has room for stream bytes and for calls. */
bool session_takes_calls(const struct session *session);
/* Of hub_room.node: who waits for that. */
struct list *session_rooms(struct session *session);

struct hub_streams *session_streams(struct session *session);
/* Does nothing while the connection closes. */
void session_send_frame(struct session *session, uint32_t stream_id, enum stream_kind kind,
                        struct view payload);
/* Whether the agent takes what it was sent before; otherwise hub_streams_on_drained follows. */
bool session_has_room(const struct session *session);

/* Of hub.c: the session of a sandbox whose agent is ready; NULL: ERR_UNAVAILABLE "agent_lost". */
struct session *hub_session(const struct hub *hub, const char sandbox_id[ID_SIZE],
                            struct err *err) MUST_CHECK;

#endif
