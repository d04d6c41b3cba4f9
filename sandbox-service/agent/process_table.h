/* sandbox-service/agent/process_table.h: one command and the table of all, seen from inside.
 * Internal to process and process_table. */
#ifndef SANDBOX_AGENT_PROCESS_TABLE_H
#define SANDBOX_AGENT_PROCESS_TABLE_H

#include "common/base/str.h"
#include "sandbox-service/agent/oom.h"
#include "sandbox-service/agent/process.h"
#include "sandbox-service/agent/reap.h"

enum { PROCESS_READ_SIZE = 64 * 1024 };

struct processes {
    struct loop *loop; /* borrowed */
    struct spawner spawner;
    struct reaper reaper;
    struct oom_counter oom;
    int null_fd;
    struct list live;  /* struct process.node: at most PROCESSES_MAX */
    size_t live_count; /* of both */
    bool held;
    struct list ready;  /* of the same: finished, held back */
    struct list drains; /* of the same: the oldest first */
    size_t drain_count;
    size_t memory; /* bytes, under PROCESS_MEMORY_MAX */
    char buffer[PROCESS_READ_SIZE];
};

struct output {
    struct process *process;
    struct event *event; /* owned; NULL: closed */
    int fd;
    struct str text;
};

struct process {
    struct list node;
    struct processes *all;
    pid_t pid;
    bool running; /* until it is waited for */
    bool draining;
    bool timed_out;
    bool truncated;
    bool strict_eof;
    struct reap_end end;
    int64_t started_us;
    int64_t ended_us;
    int64_t oom_kills; /* at the start */
    size_t output_max;
    struct output outputs[PROCESS_OUTPUTS];
    struct event *stdin_event; /* owned; NULL: closed */
    int stdin_fd;
    struct str stdin_text;
    size_t stdin_sent;
    struct timer deadline;
    struct timer quiet;
    process_done_fn *done; /* NULL: nobody waits, or the result is given */
    void *arg;
};

/* It was waited for. */
void process_end(struct process *process, const struct reap_end *end);
/* The one way out, for the result and for the process: gives the result, unless it is held back,
 * and frees the process as soon as its output is closed. */
void process_finish(struct process *process);
void process_free(struct process *process);

#endif
