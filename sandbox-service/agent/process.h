/* sandbox-service/agent/process.h: the commands that run for the gateway, from start to result, and
 * for a while after that. */
#ifndef SANDBOX_AGENT_PROCESS_H
#define SANDBOX_AGENT_PROCESS_H

#include "common/base/view.h"
#include "common/contracts/agent_process.h"
#include "common/event/loop.h"
#include "sandbox-service/agent/about.h"
#include "sandbox-service/agent/spawn.h"
#include "sandbox-service/agent/spool.h"

enum {
    PROCESSES_MAX = 1024,                  /* running, or with their result not yet given */
    PROCESS_TERMINALS_MAX = 64,            /* open */
    PROCESS_DRAINS_MAX = 256,              /* see process_done_fn */
    PROCESS_MEMORY_MAX = 64 * 1024 * 1024, /* output kept for results and input waiting, of all */
    PROCESS_QUIET_MS = 1000,               /* after the end, for the output of what lives on */
    PROCESS_LINGER_MAX_MS = 10 * 1000,     /* the same for one that is never quiet */
    PROCESS_KEPT_MS = 5 * 60 * 1000,       /* finished ones stay to be asked about */
    PROCESS_KEPT_MAX = 256,
    PROCESS_KEPT_BYTES_MAX = 4 * 1024 * 1024, /* of their spools that nobody is reading */
};

/* What comes out of a terminal is PROCESS_STDOUT. */
enum process_output { PROCESS_STDOUT, PROCESS_STDERR, PROCESS_OUTPUTS };
_Static_assert((int)PROCESS_OUTPUTS == (int)SPOOL_KINDS, "a spool holds both outputs");
_Static_assert((int)PROCESSES_MAX <= (int)SPOOLS_OPEN_MAX, "each has a spool");

/* How a process ended; from waitid alone. */
struct process_exit {
    int exit_code;      /* -1: a signal ended it */
    int signal_number;  /* 0: it exited */
    const char *reason; /* "exited", "signaled", "timeout", "oom" */
    int64_t duration_ms;
    bool output_open; /* something that the command left behind still holds its output open */
    bool is_measured; /* that was asked for; then the next two */
    int64_t cpu_ms;   /* of the whole sandbox from its start to its end; -1: not known */
    int64_t peak_memory_bytes; /* as in struct reap_end */
};

struct process_result {
    struct view output[PROCESS_OUTPUTS];
    bool truncated; /* some output was dropped */
    struct process_exit exit;
};

/* The result is valid during the call. What the command left running keeps its pipes, read and
 * dropped from here on, so that it does not die of writing (PROCESS_DRAINS_MAX such; then the
 * oldest is cut off). */
typedef void process_done_fn(const struct process_result *result, void *arg);

struct process_start {
    struct spawn_spec spawn;               /* all but fds and terminal */
    struct about_spec about;               /* copied */
    const struct agent_terminal *terminal; /* NULL: pipes */
    struct view stdin_text;                /* copied */
    bool has_stdin;                        /* else it reads from /dev/null */
    bool stdin_open;                       /* more may follow stdin_text, by process_write */
    int64_t timeout_ms;                    /* 0: none. Then its whole process group is killed */
    size_t output_max;                     /* bytes kept of each output, for done */
    size_t spool_max;                      /* bytes kept of its last output; 0: SPOOL_DEFAULT */
    bool measure;                          /* what it uses */
    bool alone;                            /* with its end everything else in the sandbox ends */
    bool strict_eof;                       /* the result waits until all output is closed */
    bool is_uncounted;                     /* not among those that processes_running counts */
    process_done_fn *done;                 /* NULL: nobody waits for a result */
    void *arg;
};

struct processes; /* all of them */
struct process;   /* running, or finished and still known. Valid until the loop's turn ends; a
                     reader keeps it longer */

struct processes *processes_new(struct loop *loop, struct err *err) MUST_CHECK;
/* Kills what runs; nothing is called any more. Readers must be closed. NULL is fine. */
void processes_free(struct processes *processes);

/* count: how many commands run now. Shells of sessions, which wait, and what a template started,
 * which serves, are not meant. */
typedef void process_running_fn(size_t count, void *arg);
/* Calls on_running whenever that changes, from inside other functions here: it does no more than
 * send a message. There is one. */
void processes_watch_running(struct processes *processes, process_running_fn *on_running,
                             void *arg);
size_t processes_running(const struct processes *processes);

/* While held no result is given: what is finished waits, and counts against the bounds above. */
void processes_hold(struct processes *processes, bool held);

/* Starts a command; done is called exactly once, later, on the loop. NULL and errors of spawn;
 * ERR_CONFLICT "tag_in_use"; ERR_LIMIT "busy" at one of the bounds above. */
struct process *process_begin(struct processes *processes, const struct process_start *start,
                              struct err *err) MUST_CHECK;

/* A running one before a finished one, a newer before an older. ERR_NOT_FOUND "process_not_found".
 */
struct process *process_find(struct processes *processes, const struct agent_named *named,
                             struct err *err) MUST_CHECK;
/* By process_serial; NULL when it is not known any more. */
struct process *process_find_serial(struct processes *processes, uint64_t serial);
void process_each(struct processes *processes, void (*visit)(struct process *process, void *arg),
                  void *arg);

pid_t process_pid(const struct process *process);
/* Never given twice, as a pid may be. */
uint64_t process_serial(const struct process *process);
const struct about *process_about(const struct process *process);
bool process_is_running(const struct process *process);
bool process_has_terminal(const struct process *process);
int64_t process_started_wall_ms(const struct process *process);
/* NULL until it has ended and all its output was read. */
const struct process_exit *process_exit_of(const struct process *process);
/* The code of why it will never run and has no exit; NULL: nothing like that. */
const char *process_failure_of(const struct process *process);
/* How much output there was, and what of it is kept. */
const struct spool *process_spool(const struct process *process);
size_t process_reader_count(const struct process *process);

/* To it, or to its whole process group. ERR_CONFLICT "process_ended", ERR_INTERNAL. */
bool process_signal(struct process *process, int number, bool group, struct err *err) MUST_CHECK;
/* ERR_CONFLICT "process_ended", "no_terminal". */
bool process_resize(struct process *process, const struct agent_terminal *size,
                    struct err *err) MUST_CHECK;

/* Somebody who reads a process's output as it comes. While one is behind by a whole spool, the
 * process has to wait. */
struct process_reader {
    struct spool_reader spool;
    struct process *process; /* borrowed until closed */
    /* There is more to read, or the process has finished; on the loop, never from inside a function
     * of this header. The reader may be closed in it. */
    void (*on_more)(void *arg);
    void *arg;
};
/* from: at most the ends of the spool. */
void process_reader_open(struct process_reader *reader, struct process *process,
                         const uint64_t from[PROCESS_OUTPUTS], void (*on_more)(void *arg),
                         void *arg);
/* Accepts one that was never opened or is closed. */
void process_reader_close(struct process_reader *reader);
/* As spool_reader_advance; the process may go on. */
void process_reader_advance(struct process_reader *reader, unsigned kind, size_t len);

/* Somebody who writes to a process's stdin and hears what of it was taken. */
struct process_writer {
    struct process *process; /* borrowed; NULL: closed */
    void (*on_taken)(size_t bytes, void *arg);
    void *arg;
};
/* What it wrote is written all the same. Accepts one that was never opened or is closed. */
void process_writer_close(struct process_writer *writer);

/* Whether there is a stdin that takes bytes. */
bool process_takes_input(const struct process *process);
/* Writes, or keeps until the process reads; on_taken may be called from inside. Without a writer
 * (NULL) at most INPUT_WAITING_MAX may wait. ERR_CONFLICT "stdin_closed", ERR_LIMIT "busy". */
bool process_write(struct process *process, struct process_writer *writer, struct view bytes,
                   struct err *err) MUST_CHECK;
/* Behind what waits; a terminal gets its end-of-file character. ERR_CONFLICT "stdin_closed". */
bool process_close_stdin(struct process *process, struct err *err) MUST_CHECK;

#endif
