#include "sandbox-service/agent/pipes.h"

#include <errno.h>
#include <fcntl.h>

static bool open_one(struct pipes *pipes, int number, const struct user *user)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    int ours = number == 0 ? 1 : 0; /* we write to its stdin and read the others */
    pipes->ours[number] = ends[ours];
    pipes->theirs[number] = ends[1 - ours];
    /* Each end has flags of its own: the command's stays blocking. */
    return fcntl(pipes->ours[number], F_SETFL, O_NONBLOCK) == 0 &&
           (user->uid == 0 || fchown(pipes->theirs[number], user->uid, user->gid) == 0);
}

bool pipes_open(struct pipes *pipes, int stdin_fd, const struct user *user, struct err *err)
{
    pipes->theirs[0] = stdin_fd;
    pipes->borrowed = stdin_fd;
    for (int number = stdin_fd < 0 ? 0 : 1; number < PIPES; number++) {
        if (!open_one(pipes, number, user)) {
            return err_set(err, ERR_INTERNAL, "pipe: errno %d", errno);
        }
    }
    return true;
}

void pipes_close(struct pipes *pipes)
{
    for (int number = 0; number < PIPES; number++) {
        close_fd(&pipes->ours[number]);
        if (pipes->theirs[number] != pipes->borrowed) {
            close_fd(&pipes->theirs[number]);
        }
    }
}
