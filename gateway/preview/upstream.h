/* gateway/preview/upstream.h: connections to ports inside sandboxes, through their agents, and the
 * idle ones among them that wait to be used again. */
#ifndef GATEWAY_PREVIEW_UPSTREAM_H
#define GATEWAY_PREVIEW_UPSTREAM_H

#include "common/base/id.h"
#include "common/base/view.h"

#include <stdint.h>

struct hub;
struct loop;
struct upstream;
struct upstreams;

enum {
    UPSTREAM_IDLE_PER_PORT_MAX = 32,
    UPSTREAM_IDLE_PER_SANDBOX_MAX = 128, /* each is one of HUB_STREAMS_MAX */
    UPSTREAM_IDLE_MS = 30 * 1000,
    UPSTREAM_DIAL_MS = 10 * 1000, /* the agent itself gives up after 5 s */
};

/* Borrows both. */
struct upstreams *upstreams_new(struct loop *loop, struct hub *hub, struct err *err) MUST_CHECK;
/* Those in use must be closed before. NULL is fine. */
void upstreams_free(struct upstreams *upstreams);

/* On the loop, never from inside a function of this header. In each the upstream may be closed. */
struct upstream_events {
    /* The port has accepted. */
    void (*on_open)(void *arg);
    /* Valid during the call; the program sends no more than it was granted. */
    void (*on_bytes)(struct view bytes, void *arg);
    /* More may be sent than could be before. */
    void (*on_room)(void *arg);
    /* No more bytes come. err is NULL when the program closed; else it could not be reached, or is
     * lost. Nothing comes behind this. */
    void (*on_end)(const struct err *err, void *arg);
};

/* An idle connection to that port (the one used last), or NULL. */
struct upstream *upstream_take(struct upstreams *upstreams, const char sandbox_id[ID_SIZE],
                               uint16_t port, const struct upstream_events *events, void *arg);
/* A new one; on_open or on_end follows. events is borrowed for ever. NULL when it can't begin:
 * ERR_UNAVAILABLE "agent_lost", ERR_LIMIT "busy". */
struct upstream *upstream_dial(struct upstreams *upstreams, const char sandbox_id[ID_SIZE],
                               uint16_t port, const struct upstream_events *events, void *arg,
                               struct err *err) MUST_CHECK;

/* From here on its events go there. */
void upstream_bind(struct upstream *upstream, const struct upstream_events *events, void *arg);

/* How many bytes may be sent now. */
size_t upstream_room(const struct upstream *upstream);
/* bytes are no more than the room. */
void upstream_send(struct upstream *upstream, struct view bytes);
void upstream_send_end(struct upstream *upstream);
/* So many bytes of the program's have been used up: it may send as many more. */
void upstream_grant(struct upstream *upstream, size_t bytes);

/* Gives it back to be used again: nothing is under way on it and all that came was granted. */
void upstream_release(struct upstream *upstream);
/* NULL is fine. */
void upstream_close(struct upstream *upstream);

#endif
