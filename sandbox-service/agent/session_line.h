/* sandbox-service/agent/session_line.h: one line of a shell session, from its request to its
 * answer. Internal to session. */
#ifndef SANDBOX_AGENT_SESSION_LINE_H
#define SANDBOX_AGENT_SESSION_LINE_H

#include "sandbox-service/agent/attach.h"
#include "sandbox-service/agent/process_fed.h"
#include "sandbox-service/agent/session.h"
#include "sandbox-service/agent/session_script.h"

struct session;

struct line {
    struct list node; /* in the session's queue while it waits */
    struct session *session;
    size_t *memory;                /* borrowed; what all lines have together */
    struct str script;             /* freed once the shell has it */
    struct process *process;       /* owned until it ends: where its output goes */
    struct exec_answer *answer;    /* owned; NULL: it has a stream */
    struct attachment *attachment; /* its stream; NULL: none, or it is gone or is told already */
    struct reply reply;
    struct once *once; /* borrowed; NULL: repeats are not known */
    int64_t timeout_ms;
    bool timed_out;
    struct session_mark marks[PROCESS_OUTPUTS];
    char *out; /* where the scan puts what is output, while it runs */
    size_t out_len;
};

/* Where its output goes is added by line_open. ERR_LIMIT "busy" over SESSIONS_MEMORY_MAX. */
struct line *line_new(size_t *memory, const struct reply *reply, const struct agent_exec *request,
                      struct err *err) MUST_CHECK;

/* What a line is run by; borrowed. */
struct line_parts {
    struct processes *processes;
    struct streams *streams;
    const struct process_start *start; /* of process_fed_begin; the result is the line's to add */
    const struct process_feed *feed;
};
/* once may be NULL. Errors of process_fed_begin and attach_open. */
bool line_open(struct line *line, const struct line_parts *parts, const struct agent_exec *request,
               struct once *once, struct err *err) MUST_CHECK;

/* Without a word. */
void line_free(struct line *line);
/* The shell has it. */
void line_free_script(struct line *line);

/* Its answer is an error. Frees it. */
void line_fail(struct line *line, const struct err *err);
/* The shell runs it; restarted: another shell than the line before. */
void line_tell_started(struct line *line, pid_t shell, bool restarted);
/* Answers, or tells the end to its stream; the reason is the line's own. Frees it. */
void line_end(struct line *line, const struct process_exit *exit);

/* Takes what the shell printed; returns how much of that is done with. 0: there is no room before
 * the feed's on_room. */
size_t line_take(struct line *line, enum process_output kind, struct view bytes);
/* Its end was found in both outputs. */
bool line_is_done(const struct line *line);

#endif
