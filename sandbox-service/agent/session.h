/* sandbox-service/agent/session.h: shells that stay, one for each name, and run one line after the
 * other. A line is known as a process is (process_fed.h), from its request on. */
#ifndef SANDBOX_AGENT_SESSION_H
#define SANDBOX_AGENT_SESSION_H

#include "sandbox-service/agent/exec_answer.h"
#include "sandbox-service/agent/settings.h"
#include "sandbox-service/agent/stream.h"

enum {
    SESSIONS_MAX = 64,
    SESSION_QUEUE_MAX = 64,                 /* lines that wait for one shell */
    SESSIONS_MEMORY_MAX = 32 * 1024 * 1024, /* lines that wait, of all together */
    SESSION_GRACE_MS = 1000,                /* for a shell whose line was killed */
};

struct sessions; /* all of them */

/* All is borrowed. */
struct sessions *sessions_new(struct loop *loop, const struct settings *settings,
                              struct processes *processes, struct streams *streams,
                              struct err *err) MUST_CHECK;
/* Before the processes and behind the streams. NULL is fine. */
void sessions_free(struct sessions *sessions);

/* Runs request->cmd as a line of the session request->session, which is made when there is none;
 * answers exactly once, now or later, also when the shell can't be started. once may be NULL.
 * False, and nothing is answered: ERR_INVALID "invalid_request", ERR_CONFLICT "session_user" for a
 * user other than the session's, errors of attach_open, process_fed_begin and preparation_make. */
bool session_run(struct sessions *sessions, const struct reply *reply,
                 const struct agent_exec *request, struct once *once, struct err *err) MUST_CHECK;

/* Kills the shell and what it runs; lines that wait are answered with "session_closed".
 * ERR_NOT_FOUND "session_not_found". */
bool session_close(struct sessions *sessions, struct view name, struct err *err) MUST_CHECK;

#endif
