/* sandbox-service/agent/pipes.h: the standard streams of a command, seen from both ends. */
#ifndef SANDBOX_AGENT_PIPES_H
#define SANDBOX_AGENT_PIPES_H

#include "sandbox-service/agent/user.h"

enum { PIPES = 3 };

/* Indexed by the descriptor's number in the command. -1: closed, or not ours to close. */
struct pipes {
    int ours[PIPES];   /* owned; non-blocking */
    int theirs[PIPES]; /* owned, but for a borrowed stdin */
    int borrowed;      /* stdin, when it is no pipe */
};

#define PIPES_INIT ((struct pipes){{-1, -1, -1}, {-1, -1, -1}, -1})

/* Makes the pipes; stdin_fd is used (borrowed) in place of one when it is not negative. They belong
 * to user, who may so open /dev/stdout and its like. */
bool pipes_open(struct pipes *pipes, int stdin_fd, const struct user *user,
                struct err *err) MUST_CHECK;
/* For AUTO. */
void pipes_close(struct pipes *pipes);

#endif
