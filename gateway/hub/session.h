/* gateway/hub/session.h: one agent's connection, from the upgrade to its end. Inside the hub only.
 */
#ifndef GATEWAY_HUB_SESSION_H
#define GATEWAY_HUB_SESSION_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "gateway/hub/hub.h"

struct bufferevent;
struct loop;
struct session;

/* What the hub hears of a session. */
struct session_owner {
    /* The agent is configured and takes calls. */
    void (*on_ready)(struct session *session, void *arg);
    /* It is over; the session is freed after this. calls holds the hub_call objects that had no
     * answer (linked by hub_call.node): they are the owner's from now on. */
    void (*on_closed)(struct session *session, struct list *calls, void *arg);
    void *arg;
};

/* A call waits in its session's list and map, or in the hub's list of the lost. */
struct hub_call {
    struct list node;
    struct map_node by_id;
    struct session *session; /* borrowed; NULL once it is lost */
    struct event *deadline;  /* owned; NULL: none */
    char id[24];
    hub_reply_fn *done;
    void *arg;
};

/* Takes bev whatever happens, and the contents of configure (the message that answers hello). */
struct session *session_new(struct loop *loop, const char sandbox_id[ID_SIZE],
                            struct bufferevent *bev, struct str *configure,
                            const struct session_owner *owner, struct err *err) MUST_CHECK;
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

struct hub_call *session_call(struct session *session, const struct hub_message *message,
                              int64_t timeout_ms, hub_reply_fn *done, void *arg,
                              struct err *err) MUST_CHECK;
/* Unlinks and frees without calling done. */
void hub_call_free(struct hub_call *call);

#endif
