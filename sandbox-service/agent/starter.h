/* sandbox-service/agent/starter.h: what a template has started in its sandboxes: once, when the
 * agent is first configured; and whether that serves yet. */
#ifndef SANDBOX_AGENT_STARTER_H
#define SANDBOX_AGENT_STARTER_H

#include "common/contracts/agent.h"
#include "common/event/loop.h"
#include "sandbox-service/agent/process.h"
#include "sandbox-service/agent/reply.h"
#include "sandbox-service/agent/settings.h"

enum {
    STARTER_WAITERS_MAX = 16,
    STARTER_LOOK_EVERY_MS = 50, /* at a port */
};
/* Of the processes: what was started, and what looks whether it serves. */
#define STARTER_TAG "start"
#define STARTER_PROBE_TAG "start.probe"

struct starter;

/* Borrows all three for its life. */
struct starter *starter_new(struct loop *loop, const struct settings *settings,
                            struct processes *processes, struct err *err) MUST_CHECK;
/* Before the processes are freed; who waits is not answered. NULL is fine. */
void starter_free(struct starter *starter);

/* The first call starts what it says; those behind it do nothing. Copies start. */
void starter_begin(struct starter *starter, const struct agent_start *start);

/* Answers "readyResponse" once it serves, at once where nothing is to be started. Errors:
 * ERR_CONFLICT "start_failed", "start_timeout"; ERR_LIMIT "busy". */
void starter_answer(struct starter *starter, const struct reply *reply);

#endif
