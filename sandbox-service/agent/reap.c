#include "sandbox-service/agent/reap.h"

#include "common/base/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A turn of the loop; a tenant that forks in a circle must not keep everybody else waiting. */
enum { ENDS_A_TURN = 256, BYTES_PER_KIB = 1024 };

/* The C library's waitid leaves out what the kernel's tells of the use of resources. */
static bool wait_for_one(struct reap_end *out)
{
    siginfo_t info = {0};
    struct rusage used = {0};
    if (syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG, &used) != 0 || info.si_pid == 0) {
        return false;
    }
    bool exited = info.si_code == CLD_EXITED;
    *out = (struct reap_end){
        .pid = info.si_pid,
        .exit_code = exited ? info.si_status : -1,
        .signal_number = exited ? 0 : info.si_status,
        .peak_memory_bytes = used.ru_maxrss * BYTES_PER_KIB,
    };
    return true;
}

static void wait_for_many(void *arg)
{
    struct reaper *reaper = arg;
    struct reap_end end;
    for (int i = 0; i < ENDS_A_TURN; i++) {
        if (!wait_for_one(&end)) {
            return;
        }
        reaper->on_end(&end, reaper->arg);
    }
    /* An event made active here would still belong to this turn. */
    timer_arm(&reaper->again, 0);
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct signalfd_siginfo info;
    /* Signals of one kind merge: what has arrived says only that there is something to wait for. */
    if (read(fd, &info, sizeof info) < 0 && errno != EAGAIN && errno != EINTR) {
        log_warn("reap.no_signals", LOG_INT("errno", errno));
    }
    wait_for_many(arg);
}

bool reaper_open(struct reaper *reaper, struct loop *loop, reap_fn *on_end, void *arg,
                 struct err *err)
{
    sigset_t child;
    *reaper = (struct reaper){.on_end = on_end, .arg = arg};
    if (!timer_open(&reaper->again, loop, wait_for_many, reaper, err)) {
        return false;
    }
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child, NULL);
    reaper->fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    if (reaper->fd < 0) {
        return err_set(err, ERR_INTERNAL, "signalfd: errno %d", errno);
    }
    reaper->event = event_new(loop_base(loop), reaper->fd, EV_READ | EV_PERSIST, on_child, reaper);
    if (reaper->event == NULL || event_add(reaper->event, NULL) != 0) {
        return err_set(err, ERR_INTERNAL, "can't watch for ends of children");
    }
    /* Some may have ended before the signal was blocked. */
    event_active(reaper->event, EV_READ, 0);
    return true;
}

void reaper_close(struct reaper *reaper)
{
    timer_close(&reaper->again);
    if (reaper->event != NULL) {
        event_free(reaper->event);
        reaper->event = NULL;
        close_fd(&reaper->fd);
    }
}
