/* sandbox-service/agent/pty.h: a terminal in place of the pipes of a command. */
#ifndef SANDBOX_AGENT_PTY_H
#define SANDBOX_AGENT_PTY_H

#include "sandbox-service/agent/pipes.h"

/* Makes one of the container's own terminals. Its device belongs to user and is the command's
 * stdin, stdout and stderr; ours[0] writes to it, ours[1] reads from it, ours[2] stays closed.
 * ERR_LIMIT "busy" when there are no more terminals, ERR_INTERNAL. */
bool pty_open(struct pipes *pipes, const struct user *user, const struct agent_terminal *size,
              struct err *err) MUST_CHECK;

#endif
