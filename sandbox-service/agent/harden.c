#include "sandbox-service/agent/harden.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
    FIRST_OTHER_FD = 3,
    UMASK = 022,
    MMAP_THRESHOLD = 128 * 1024, /* a message's memory goes back to the kernel after it */
};

/* The kernel throws away what a tenant sends to a first process that handles nothing. */
static void handle_no_signals(void)
{
    struct sigaction action;
    sigset_t none;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int number = 1; number <= SIGRTMAX; number++) {
        (void)sigaction(number, &action, NULL); /* refused for SIGKILL, SIGSTOP and two more */
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* No descriptor of ours may be mistaken for a standard stream of a command. */
static bool fill_standard_streams(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < FIRST_OTHER_FD) {
        fd = open("/dev/null", O_RDWR);
    }
    return fd >= 0 && close(fd) == 0;
}

bool harden(struct err *err)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return err_set(err, ERR_INTERNAL, "PR_SET_DUMPABLE: errno %d", errno);
    }
    handle_no_signals();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that gets too large is an error to tell */
    (void)umask(UMASK);
    if (!fill_standard_streams()) {
        return err_set(err, ERR_INTERNAL, "/dev/null: errno %d", errno);
    }
    if (syscall(SYS_close_range, (unsigned long)FIRST_OTHER_FD, (unsigned long)UINT_MAX,
                (unsigned long)CLOSE_RANGE_CLOEXEC) != 0 &&
        errno != ENOSYS) {
        return err_set(err, ERR_INTERNAL, "close_range: errno %d", errno);
    }
    if (chdir("/") != 0) {
        return err_set(err, ERR_INTERNAL, "chdir: errno %d", errno);
    }
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    (void)mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD);
    return true;
}
