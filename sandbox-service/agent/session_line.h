/* sandbox-service/agent/session_line.h: one line of a shell session, from its request to its
 * answer. Internal to session. */
#ifndef SANDBOX_AGENT_SESSION_LINE_H
#define SANDBOX_AGENT_SESSION_LINE_H

#include "sandbox-service/agent/session.h"
#include "sandbox-service/agent/session_script.h"

struct session;

struct line {
    struct list node; /* in the session's queue while it waits */
    struct session *session;
    size_t *memory;             /* borrowed; what all lines have together */
    struct str script;          /* freed once the shell has it */
    struct exec_answer *answer; /* owned; NULL: it has a stream */
    struct stream *stream;      /* NULL: none, or it is closed */
    struct reply reply;
    struct once *once; /* of a line with a stream; borrowed */
    int64_t timeout_ms;
    int64_t started_us;
    bool timed_out;
    bool truncated;
    size_t output_max;
    struct str texts[PROCESS_OUTPUTS];
    struct session_mark marks[PROCESS_OUTPUTS];
    enum process_output emitting; /* what the scan is looking at */
};

/* Where its output goes is the caller's to add. ERR_LIMIT "busy" over SESSIONS_MEMORY_MAX. */
struct line *line_new(size_t *memory, const struct reply *reply, const struct agent_exec *request,
                      struct err *err) MUST_CHECK;
/* Without a word; its stream must be closed. */
void line_free(struct line *line);
/* The shell has it. */
void line_free_script(struct line *line);

/* Its answer is an error. Frees it. */
void line_fail(struct line *line, const struct err *err);
/* The shell runs it; restarted: another shell than the line before. */
void line_tell_started(struct line *line, pid_t shell, bool restarted);
/* Answers, or tells the end to its stream; reason and time are the line's own. Frees it. */
void line_end(struct line *line, pid_t shell, const struct process_exit *exit);

/* How much of the shell's output may be looked at now. */
size_t line_room(const struct line *line);
/* Takes what the shell printed, at most line_room of it; returns how much of that is done with. */
size_t line_take(struct line *line, unsigned kind, struct view bytes);
/* Its end was found in both outputs. */
bool line_is_done(const struct line *line);

#endif
