/* sandbox-service/agent/process_table.h: one command and the table of all, seen from inside.
 * Internal to process, process_begin, process_fed, process_input, process_keep and
 * process_table. */
#ifndef SANDBOX_AGENT_PROCESS_TABLE_H
#define SANDBOX_AGENT_PROCESS_TABLE_H

#include "common/base/str.h"
#include "sandbox-service/agent/oom.h"
#include "sandbox-service/agent/process_fed.h"
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
    struct list kept;   /* of the same: finished, the oldest first */
    struct list drains; /* struct process.drain_node: the oldest first */
    uint64_t last_serial;
    size_t kept_count;
    size_t running_count;           /* of those with counted */
    process_running_fn *on_running; /* NULL: nobody wants to know */
    void *on_running_arg;
    size_t terminal_count; /* open ones, under PROCESS_TERMINALS_MAX */
    size_t drain_count;
    size_t memory; /* bytes, under PROCESS_MEMORY_MAX */
    struct spool_pool spools;
    struct timer expiry; /* of the oldest that is kept */
    struct timer retry;  /* for outputs that wait for memory */
    char buffer[PROCESS_READ_SIZE];
};

struct output {
    struct process *process;
    struct event *event; /* owned; NULL: closed */
    int fd;
    bool paused;     /* the event is not added: the spool is full */
    size_t owed;     /* bytes that were in the pipe when the process ended, not read yet */
    struct str text; /* for the result */
};

struct process {
    struct list node;
    struct list drain_node; /* in all->drains while what it left behind holds its output open */
    struct loop_corpse corpse;
    struct processes *all;
    pid_t pid;
    uint64_t serial;
    bool running;  /* until it is waited for */
    bool counted;  /* in all->running_count */
    bool finished; /* exit is known */
    bool timed_out;
    bool truncated;
    bool strict_eof;
    bool alone;
    bool terminal;
    bool fed;   /* by somebody; it has no descriptors, and pid is the number of another */
    bool begun; /* of one that is fed */
    bool feed_paused;
    struct process_feed feed;
    const char *failure; /* see process_failure_of */
    struct reap_end end;
    struct process_exit exit;
    int64_t started_us;
    int64_t started_wall_ms;
    int64_t ended_us;
    int64_t oom_kills; /* at the start */
    bool measure;
    int64_t cpu_us; /* the sandbox's at the start, and once it has ended from then to its end; of
                       one to measure; -1: not known */
    size_t output_max;
    struct about about;
    struct spool spool;
    struct output outputs[PROCESS_OUTPUTS];
    struct event *stdin_event; /* owned; NULL: closed. Added while input waits */
    int stdin_fd;
    struct list input; /* struct input_piece.node */
    size_t input_len;  /* bytes in it */
    bool stdin_ends;   /* behind what waits */
    struct timer deadline;
    struct timer quiet;
    process_done_fn *done; /* NULL: nobody waits, or the result is given */
    void *arg;
};

/* The parts of process_begin. A new one is in no list yet. */
bool process_check_bounds(const struct processes *all, const struct process_start *start,
                          struct err *err) MUST_CHECK;
struct process *process_new(struct processes *all, const struct process_start *start,
                            struct err *err) MUST_CHECK;
void process_add(struct process *process, const struct process_start *start);

struct pipes;
/* Takes its ends of the pipes over and watches them. */
bool process_open_events(struct process *process, struct pipes *pipes, struct err *err) MUST_CHECK;

/* In and out of those that run; out of it again does nothing. */
void process_count_in(struct process *process);
void process_count_out(struct process *process);
/* It was waited for. */
void process_end(struct process *process, const struct reap_end *end);
/* All is read that will be: gives the result, unless it is held back, and keeps the process. */
void process_finish(struct process *process);
/* Takes it apart; the memory goes when the stack has been left. */
void process_free(struct process *process);
/* Cuts off what the command of the oldest such terminal left behind; false when there is none. */
bool process_end_terminal_drain(struct processes *all) MUST_CHECK;
/* Reads again what was paused, as far as there is room. */
void process_resume(struct process *process);

/* These bytes lie where they were reserved in its spool. */
void process_take_output(struct output *output, const char *bytes, size_t len);
void process_tell_readers(struct process *process);

/* What is paused, and not because of a reader, goes on once there is memory. */
void process_await_memory(struct process *process);
/* For what was paused for want of memory. */
void process_on_retry(void *arg);

/* Puts it with those that are finished. */
void process_keep(struct process *process);
/* A reader of a finished one has gone: bounds may apply that waited for it. */
void process_keep_within_bounds(struct processes *all);
void process_on_expiry(void *arg);

/* Takes the descriptor over. */
bool process_open_stdin(struct process *process, int fd, struct err *err) MUST_CHECK;
/* Keeps them, whatever the bound of what waits. */
bool process_queue_input(struct process *process, struct view bytes, struct err *err) MUST_CHECK;
void process_drop_stdin(struct process *process);

#endif
