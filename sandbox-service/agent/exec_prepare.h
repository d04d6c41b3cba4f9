/* sandbox-service/agent/exec_prepare.h: what one start of a command needs besides the request. */
#ifndef SANDBOX_AGENT_EXEC_PREPARE_H
#define SANDBOX_AGENT_EXEC_PREPARE_H

#include "sandbox-service/agent/process.h"
#include "sandbox-service/agent/settings.h"

enum { PREPARATION_SPOOL_BYTES = 256 * 1024 }; /* default of a command that somebody waits for */

/* Starts as zero; owns all it holds. */
struct preparation {
    struct user user;
    struct environment env;
    char cwd[PATH_SIZE];
    char **argv;
};

/* The caller frees out, also after a failure. Errors of settings_user, path_resolve; ERR_INVALID
 * "validation_failed" for too big an environment. */
bool preparation_make(struct preparation *out, const struct settings *settings,
                      const struct agent_exec *request, struct err *err) MUST_CHECK;
void preparation_free(struct preparation *preparation);

/* How to start the request's command; borrows both. What happens with its result is the caller's to
 * add. */
struct process_start preparation_start(const struct preparation *preparation,
                                       const struct settings *settings,
                                       const struct agent_exec *request);

#endif
