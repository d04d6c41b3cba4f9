/* sandbox-service/agent/process_fed.h: what runs inside another process and has output and an end
 * of its own: a line of a session's shell. Who can tell its output from the rest brings it here;
 * from then on it is answered, attached to and kept as a process is. It counts as one of
 * PROCESSES_MAX. */
#ifndef SANDBOX_AGENT_PROCESS_FED_H
#define SANDBOX_AGENT_PROCESS_FED_H

#include "sandbox-service/agent/process.h"

struct process_feed {
    pid_t pid; /* of the process it is to run in; 0: not known yet */
    /* There is room again; may be called from inside a function of process.h. */
    void (*on_room)(void *arg);
    void *arg;
};

/* Of start what is about the result, the spool and the name counts. done is called from inside
 * process_fed_finish, or later. ERR_CONFLICT "tag_in_use", ERR_LIMIT "busy". */
struct process *process_fed_begin(struct processes *processes, const struct process_start *start,
                                  const struct process_feed *feed, struct err *err) MUST_CHECK;
/* It runs now, in pid: its time counts from here. */
void process_fed_start(struct process *process, pid_t pid);

/* Where output of this kind may be put, and how much: SPOOL_ROOM_MIN at least. NULL: there is no
 * room before on_room. */
char *process_fed_reserve(struct process *process, enum process_output kind, size_t *room);
/* So much of it was filled. */
void process_fed_commit(struct process *process, enum process_output kind, char *bytes, size_t len);

/* It has ended; how long it took is found out here. */
void process_fed_finish(struct process *process, const struct process_exit *exit);
/* It will never run: done is not called, and who is attached gets a reset with the code. */
void process_fed_cancel(struct process *process, const char *code);

bool process_is_fed(const struct process *process);
/* The one that runs in pid or, when none does, the last that did. ERR_NOT_FOUND
 * "process_not_found". */
struct process *process_fed_find(struct processes *processes, pid_t pid,
                                 struct err *err) MUST_CHECK;

#endif
