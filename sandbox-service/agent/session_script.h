/* sandbox-service/agent/session_script.h: what a session's shell is told, and how the end of a line
 * is found in its output. */
#ifndef SANDBOX_AGENT_SESSION_SCRIPT_H
#define SANDBOX_AGENT_SESSION_SCRIPT_H

#include "common/base/str.h"
#include "common/contracts/agent.h"

enum {
    SESSION_NONCE_SIZE = 33,
    /* A mark is a NUL, "insien:", the nonce, ":", the status and an end of line. */
    SESSION_MARK_MAX = 1 + 7 + SESSION_NONCE_SIZE + 12,
    /* Each byte of a line may become four by quoting. */
    SESSION_SCRIPT_MAX = 4 * (EXEC_ARG_MAX + ENV_BYTES_MAX + PATH_BYTES_MAX) + 64 * 1024,
};

/* For a shell that has just been started. */
void session_script_begin(struct str *out);
/* Runs the line of request with its environment and its directory, and prints a mark behind it on
 * both outputs. */
void session_script_line(struct str *out, const struct agent_exec *request, const char *nonce);

/* Looks for the mark in one output. Starts as zero but for the nonce. */
struct session_mark {
    char nonce[SESSION_NONCE_SIZE];
    size_t matched; /* bytes of what comes before the status */
    bool found;
    int status;
};

/* Takes bytes up to the end of the mark; returns how many. Calls emit for what is output. */
size_t session_mark_scan(struct session_mark *mark, struct view bytes,
                         void (*emit)(struct view bytes, void *arg), void *arg);

#endif
