#include "sandbox-service/agent/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

/* A group that may write to all terminals must not write to this one. */
enum { DEVICE_MODE = 0600 };

/* /dev/ptmx of an image may lead elsewhere; this is the one of the container's own devpts. */
static const char *const multiplexers[] = {"/dev/pts/ptmx", "/dev/ptmx"};

static int open_master(void)
{
    int fd = -1;
    for (size_t i = 0; i < sizeof multiplexers / sizeof multiplexers[0] && fd < 0; i++) {
        fd = open(multiplexers[i], O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    }
    return fd;
}

/* The peer of this very terminal, without a look at any path. */
static int open_slave(int master)
{
    int unlocked = 0;
    if (ioctl(master, TIOCSPTLCK, &unlocked) != 0) {
        return -1;
    }
    return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* Erasing a character in a line erases all its bytes. */
static bool set_utf8(int slave)
{
    struct termios modes;
    if (tcgetattr(slave, &modes) != 0) {
        return false;
    }
    modes.c_iflag |= IUTF8;
    return tcsetattr(slave, TCSANOW, &modes) == 0;
}

static bool set_up(int slave, const struct user *user, const struct agent_terminal *size)
{
    const struct winsize window = {.ws_col = (unsigned short)size->cols,
                                   .ws_row = (unsigned short)size->rows};
    return fchown(slave, user->uid, (gid_t)-1) == 0 && fchmod(slave, DEVICE_MODE) == 0 &&
           ioctl(slave, TIOCSWINSZ, &window) == 0 && set_utf8(slave);
}

static int duplicate(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

bool pty_open(struct pipes *pipes, const struct user *user, const struct agent_terminal *size,
              struct err *err)
{
    pipes->ours[1] = open_master();
    if (pipes->ours[1] < 0 && errno == ENOSPC) {
        return err_set_reason(err, ERR_LIMIT, "busy", "the sandbox has no more terminals");
    }
    pipes->theirs[0] = pipes->ours[1] < 0 ? -1 : open_slave(pipes->ours[1]);
    if (pipes->theirs[0] < 0 || !set_up(pipes->theirs[0], user, size)) {
        return err_set(err, ERR_INTERNAL, "terminal: errno %d", errno);
    }
    pipes->ours[0] = duplicate(pipes->ours[1]);
    pipes->theirs[1] = duplicate(pipes->theirs[0]);
    pipes->theirs[2] = duplicate(pipes->theirs[0]);
    return (pipes->ours[0] >= 0 && pipes->theirs[1] >= 0 && pipes->theirs[2] >= 0) ||
           err_set(err, ERR_INTERNAL, "terminal: errno %d", errno);
}
