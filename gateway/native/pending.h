/* gateway/native/pending.h: which repeatable requests of clients wait for their answer, kept in
 * Redis so that a client that comes back to any gateway learns what became of them.
 *
 * Written behind: nobody waits for Redis, and without it nothing is recorded and nothing told. */
#ifndef GATEWAY_NATIVE_PENDING_H
#define GATEWAY_NATIVE_PENDING_H

#include "common/base/id.h"
#include "common/base/view.h"

#include <stdint.h>

struct gateway;
struct pending;
struct pending_look;

enum {
    PENDING_MAX = 1024,               /* requests of one scope and sandbox; more are not recorded */
    PENDING_KEPT_MS = 15 * 60 * 1000, /* from the last record of the scope and sandbox on */
    PENDING_WRITES_MAX = 1024,        /* commands without an answer; more are not sent */
    PENDING_LOOKUPS_MAX = 256,        /* requests that one look asks the agent about */
};

/* Borrows gateway: loop, config and id, and hub once a look begins. */
struct pending *pending_open(const struct gateway *gateway, struct err *err) MUST_CHECK;
/* No look may be in flight. NULL is fine. */
void pending_close(struct pending *pending);

/* Where a client asks. scope: "<user id>/<session>". */
struct pending_place {
    const char *scope;      /* borrowed */
    const char *sandbox_id; /* borrowed */
};

struct pending_request {
    struct view id;      /* the client's; at most CLIENT_ID_MAX bytes */
    uint32_t stream_id;  /* the client's; 0: none */
    int64_t deadline_ms; /* since 1970; 0: none */
};
/* The agent was asked. A record of the same id is replaced. */
void pending_record(struct pending *pending, const struct pending_place *place,
                    const struct pending_request *request);
/* The client has its final answer. */
void pending_settle(struct pending *pending, const struct pending_place *place, struct view id);

/* text is a message for the client, valid during the call; empty: there is nothing to tell. */
typedef void pending_told_fn(struct view text, void *arg);
/* Asks the agent, once it is connected, what became of each request that is recorded now, and
 * forgets the ones that it does not know. done comes once, later, on the loop. NULL when it can't
 * begin: Redis is away, or too much waits. */
struct pending_look *pending_look_begin(struct pending *pending, const struct pending_place *place,
                                        pending_told_fn *done, void *arg,
                                        struct err *err) MUST_CHECK;
/* done is not called any more. NULL is fine. */
void pending_look_cancel(struct pending_look *look);

#endif
