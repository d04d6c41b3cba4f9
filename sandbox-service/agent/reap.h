/* sandbox-service/agent/reap.h: the ends of all children, also of those that nobody else waits for:
 * as the container's first process the agent inherits them. */
#ifndef SANDBOX_AGENT_REAP_H
#define SANDBOX_AGENT_REAP_H

#include "common/event/loop.h"

#include <stdint.h>
#include <sys/types.h>

/* How a process ended: exit_code, or -1 and the signal. */
struct reap_end {
    pid_t pid;
    int exit_code;
    int signal_number;         /* 0: it exited */
    int64_t peak_memory_bytes; /* resident; its own, or of the largest descendant it waited for */
};

typedef void reap_fn(const struct reap_end *end, void *arg);

struct reaper {
    struct event *event; /* owned */
    int fd;              /* a signalfd of SIGCHLD */
    struct timer again;  /* armed when more may be left than one turn takes */
    reap_fn *on_end;
    void *arg;
};

/* Blocks SIGCHLD for good. on_end is called on the loop, for every child, after it is waited for.
 */
bool reaper_open(struct reaper *reaper, struct loop *loop, reap_fn *on_end, void *arg,
                 struct err *err) MUST_CHECK;
void reaper_close(struct reaper *reaper);

#endif
