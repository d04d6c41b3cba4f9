/* sandbox-service/agent/link.h: the agent's one connection to whichever gateway listens on the
 * sandbox's socket, made again for ever. */
#ifndef SANDBOX_AGENT_LINK_H
#define SANDBOX_AGENT_LINK_H

#include "common/base/id.h"
#include "common/event/loop.h"

enum {
    LINK_BACKLOG_MAX = 4 * 1024 * 1024,       /* bytes of answers: over it no requests are read */
    LINK_BACKLOG_HARD_MAX = 64 * 1024 * 1024, /* and over this one the connection ends */
    LINK_RETRY_MIN_MS = 50,
    LINK_RETRY_MAX_MS = 2000,
    LINK_UPGRADE_TIMEOUT_MS = 10 * 1000,
};

struct link;

struct link_events {
    /* One message of the gateway's; valid during the call. */
    void (*on_text)(struct view text, void *arg);
    /* False when it breaks the protocol: the connection closes with 1002. */
    bool (*on_binary)(struct view message, void *arg);
    /* The link is not congested any more. */
    void (*on_drained)(void *arg);
    /* The connection is gone; what was to be sent on it is dropped, so that nothing is congested.
     */
    void (*on_lost)(void *arg);
};

/* Connects from the loop's first turn on. run_dir is borrowed for ever. The token is read from
 * there; each later one comes by link_set_token. */
struct link *link_new(struct loop *loop, const char *run_dir, const char sandbox_id[ID_SIZE],
                      const struct link_events *events, void *arg, struct err *err) MUST_CHECK;
/* NULL is fine. */
void link_free(struct link *link);

/* False when the text can be no token. */
bool link_set_token(struct link *link, struct view token) MUST_CHECK;

/* Names the connection that stands now, or the last one: an answer goes where its question came
 * from, or nowhere. */
uint64_t link_epoch(const struct link *link);

/* The gateway is behind with reading: what can wait should. */
bool link_is_congested(const struct link *link);

/* Sends one message; drops it when that connection is over. */
void link_send(struct link *link, uint64_t epoch, struct view text);
void link_send_binary(struct link *link, uint64_t epoch, struct view header, struct view payload);

#endif
