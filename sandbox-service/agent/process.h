/* sandbox-service/agent/process.h: the commands that run for the gateway, from start to result. */
#ifndef SANDBOX_AGENT_PROCESS_H
#define SANDBOX_AGENT_PROCESS_H

#include "common/base/view.h"
#include "common/event/loop.h"
#include "sandbox-service/agent/spawn.h"

enum {
    PROCESSES_MAX = 1024,                  /* running, or with their result not yet given */
    PROCESS_DRAINS_MAX = 256,              /* see process_done_fn */
    PROCESS_MEMORY_MAX = 64 * 1024 * 1024, /* output kept and input waiting, of all together */
    PROCESS_QUIET_MS = 1000,               /* after the end, for the output of what lives on */
    PROCESS_LINGER_MAX_MS = 10 * 1000,     /* the same for one that is never quiet */
};

enum process_output { PROCESS_STDOUT, PROCESS_STDERR, PROCESS_OUTPUTS };

struct process_result {
    struct view output[PROCESS_OUTPUTS];
    bool truncated;     /* some output was dropped */
    bool output_open;   /* something that the command left behind still holds its output open */
    int exit_code;      /* -1: a signal ended it */
    int signal_number;  /* 0: it exited */
    const char *reason; /* "exited", "signaled", "timeout", "oom" */
    int64_t duration_ms;
};

/* The result is valid during the call. What the command left running keeps its pipes, read and
 * dropped from here on, so that it does not die of writing (PROCESS_DRAINS_MAX such; then the
 * oldest is cut off). */
typedef void process_done_fn(const struct process_result *result, void *arg);

struct process_start {
    struct spawn_spec spawn; /* all but fds */
    struct view stdin_text;  /* copied */
    bool has_stdin;          /* else it reads from /dev/null */
    int64_t timeout_ms;      /* 0: none. Then its whole process group is killed */
    size_t output_max;       /* bytes kept of each output */
    bool strict_eof;         /* the result waits until all output is closed */
    process_done_fn *done;   /* NULL: the output is dropped and nobody waits */
    void *arg;
};

struct processes; /* all of them */

struct processes *processes_new(struct loop *loop, struct err *err) MUST_CHECK;
/* Kills what runs; nothing is called any more. NULL is fine. */
void processes_free(struct processes *processes);

/* While held no result is given: what is finished waits, and counts against the bounds above. */
void processes_hold(struct processes *processes, bool held);

/* Starts a command; done is called exactly once, later, on the loop. Errors of spawn; ERR_LIMIT
 * "busy" at one of the bounds above. */
bool process_begin(struct processes *processes, const struct process_start *start, pid_t *pid,
                   struct err *err) MUST_CHECK;

#endif
