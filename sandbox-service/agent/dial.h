/* sandbox-service/agent/dial.h: TCP connections to what listens inside the container, as streams of
 * the link. */
#ifndef SANDBOX_AGENT_DIAL_H
#define SANDBOX_AGENT_DIAL_H

#include "common/contracts/agent_files.h"
#include "sandbox-service/agent/reply.h"

struct dials; /* all of them */
struct loop;
struct streams;

enum {
    DIALS_MAX = 512,
    DIAL_TIMEOUT_MS = 5000, /* for both addresses together */
};

/* streams is borrowed and must be freed first: that closes the connections. */
struct dials *dials_new(struct loop *loop, struct streams *streams, struct err *err) MUST_CHECK;
/* NULL is fine. */
void dials_free(struct dials *dials);

/* Connects to the port at 127.0.0.1, then ::1, and answers once: dialResponse, or
 * "connection_refused", "connect_timeout", "connect_failed", "busy", "stream_in_use". What comes on
 * the stream before that is passed on once it is connected. The end of either direction is a fin; a
 * connection that breaks, a reset "connection_reset". */
void dial_begin(struct dials *dials, const struct reply *reply, const struct agent_dial *request);

#endif
