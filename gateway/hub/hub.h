/* gateway/hub/hub.h: the agents connected to this gateway, and calls to them.
 *
 * One agent a sandbox; a newer connection replaces the older. Whoever calls gives a JSON message
 * with a gap where its id goes: the hub puts its own in, and tells where the answer's id stands. */
#ifndef GATEWAY_HUB_HUB_H
#define GATEWAY_HUB_HUB_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/view.h"

#include <stdint.h>

struct gateway;
struct hub;
struct hub_call;
struct hub_wait;
struct http_exchange;

enum {
    HUB_CALLS_MAX = 4096, /* waiting for one agent; more: ERR_LIMIT "busy" */
    HUB_REPORT_EVERY_MS = 5000,
};

/* Borrows gateway, of which config, loop, http, sandbox_service, sandboxes and id must be there.
 * Listens on the sockets of the node's sandboxes from here on; requests that come in there have the
 * sandbox's id (a const char[ID_SIZE]) as the arg of their listener. */
struct hub *hub_new(const struct gateway *gateway, struct err *err) MUST_CHECK;
/* Takes no new agents, and lets other gateways have the sockets. NULL is fine. */
void hub_stop_listening(struct hub *hub);
/* Ends the agents' connections without a word (they come back to whichever gateway listens then);
 * pending calls end with "agent_lost". */
void hub_free(struct hub *hub);

/* A request for /agent/{sandboxId}: checks the handshake and the token (asking the
 * sandbox-service), upgrades, and configures the agent. Answers the exchange in every case. */
void hub_accept(struct hub *hub, struct http_exchange *exchange, const char sandbox_id[ID_SIZE]);

/* Hears of the agents as they come and go; on the loop, from inside the hub. */
struct hub_observer {
    void (*on_ready)(const char sandbox_id[ID_SIZE], void *arg);
    /* It is gone, and no newer one is in its place. */
    void (*on_gone)(const char sandbox_id[ID_SIZE], void *arg);
};
/* There is one: it (borrowed) takes the place of the one before. NULL: none. */
void hub_observe(struct hub *hub, const struct hub_observer *observer, void *arg);

/* The sandbox's row changed: asks how it is, and lets the agent of one that rests be silent. */
void hub_check(struct hub *hub, const char sandbox_id[ID_SIZE]);
/* The same of all whose agents are here: something may have been missed. */
void hub_check_all(struct hub *hub);
/* An activity_ask_fn; its arg is the hub: notes the sandboxes in which its agents do something. */
void hub_note_activity(void *arg);

/* Whether the sandbox's agent is connected here and configured. */
bool hub_is_ready(const struct hub *hub, const char sandbox_id[ID_SIZE]);

/* The same, and the sandbox does not rest, as far as is known: what is sent is read. */
bool hub_is_awake(const struct hub *hub, const char sandbox_id[ID_SIZE]);
/* It runs again: the waker knows it before the news come. */
void hub_set_awake(struct hub *hub, const char sandbox_id[ID_SIZE]);

/* Has it resumed if it rests, and waits for its agent; what is sent to the agent of one that is
 * frozen does so by itself. wait may be NULL. waker.h */
struct waker_wait;
bool hub_wake(struct hub *hub, const char sandbox_id[ID_SIZE], struct waker_wait *wait,
              struct err *err) MUST_CHECK;
/* Every sandbox whose agent is, and that does not rest; visit may begin calls, and do nothing else
 * with the hub. */
void hub_each_ready(const struct hub *hub, void (*visit)(const char sandbox_id[ID_SIZE], void *arg),
                    void *arg);

/* err is NULL when the agent is ready. */
typedef void hub_wait_fn(const struct err *err, void *arg);
/* done comes once, later, on the loop, with ERR_TIMEOUT "agent_timeout" at the latest. */
struct hub_wait *hub_wait_begin(struct hub *hub, const char sandbox_id[ID_SIZE], int64_t timeout_ms,
                                hub_wait_fn *done, void *arg, struct err *err) MUST_CHECK;
void hub_wait_cancel(struct hub_wait *wait);

/* The agent's answer: text is whole, the caller's own id belongs where id_member stands. */
struct hub_reply {
    struct view text;
    struct view id_member;
    struct view type;
    struct view stream_member; /* "streamId": n; len 0: none */
};
/* reply is NULL when err is not: ERR_UNAVAILABLE "agent_lost", ERR_CONFLICT "sandbox_gone",
 * ERR_TIMEOUT. Both are valid during the call only. */
typedef void hub_reply_fn(const struct hub_reply *reply, const struct err *err, void *arg);

struct hub_message {
    struct view before; /* "{" and perhaps members with their comma */
    struct view after;  /* from the comma (or brace) behind the id member on */
};
/* Sends before + "id":"<n>" + after (copied). timeout_ms 0: as long as the agent is connected.
 * done comes once, later, on the loop. NULL when it can't begin: ERR_UNAVAILABLE "agent_lost" when
 * no agent is connected, ERR_LIMIT "busy", ERR_INVALID "message_too_big". */
struct hub_call *hub_call_begin(struct hub *hub, const char sandbox_id[ID_SIZE],
                                const struct hub_message *message, int64_t timeout_ms,
                                hub_reply_fn *done, void *arg, struct err *err) MUST_CHECK;
/* Of a call that has just begun: it is no activity of the sandbox, which may be idle all the same.
 */
void hub_call_make_quiet(struct hub_call *call);
/* done is not called any more; what was asked for goes on in the sandbox. */
void hub_call_cancel(struct hub_call *call);

/* Whether the sandbox's agent takes calls, or stream bytes, now: a caller that can stop its source
 * does so instead of being told "busy". True without an agent: there is nothing to wait for. */
bool hub_takes_calls(const struct hub *hub, const char sandbox_id[ID_SIZE]);
bool hub_takes_bytes(const struct hub *hub, const char sandbox_id[ID_SIZE]);
/* Lies in whoever waits; zero while it does not. */
struct hub_room {
    struct list node;
    /* The agent may take more, or is lost. From inside other functions of the hub too: it may do no
     * more than arrange for later. */
    void (*on_room)(void *arg);
    void *arg;
};
/* on_room comes once, from then on room may be used again. Only when one of the
 * two above is false. */
void hub_room_wait(struct hub *hub, const char sandbox_id[ID_SIZE], struct hub_room *room);
/* Does nothing when it does not wait. */
void hub_room_cancel(struct hub_room *room);

#endif
