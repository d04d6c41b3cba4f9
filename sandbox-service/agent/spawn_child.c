#include "sandbox-service/agent/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All of this runs in the agent's memory while the agent waits: no allocation, no library call but
 * syscall(2)'s wrapper (those of setuid and its kind would change every thread that the library
 * knows of), and nothing instrumented, as the stack below a frame is never unwound. */
#define IN_CHILD                                                                                   \
    __attribute__((no_sanitize("address"), no_sanitize("undefined"), no_sanitize("thread")))

enum {
    SIGNAL_SET_SIZE = 8, /* bytes, for the kernel */
    SIGNAL_ACTION_WORDS = 16,
    FIRST_CLOSED_FD = 3,
};

/* Of everything that a tenant starts: when memory ends, the agent is not the one to go. */
static const char oom_score_adj[] = "500";

static IN_CHILD bool start_session(struct spawn_child *child)
{
    (void)child;
    return syscall(SYS_setsid) >= 0;
}

static IN_CHILD bool set_stdio(struct spawn_child *child)
{
    for (int fd = 0; fd < FIRST_CLOSED_FD; fd++) {
        if (syscall(SYS_dup3, child->spec->fds[fd], fd, 0L) < 0) {
            return false;
        }
    }
    /* Nothing else of the agent's may get out, should one ever lack its close-on-exec. */
    return syscall(SYS_close_range, (unsigned long)FIRST_CLOSED_FD, (unsigned long)UINT_MAX,
                   CLOSE_RANGE_CLOEXEC) == 0 ||
           errno == ENOSYS;
}

/* Job control needs a terminal that controls the session. */
static IN_CHILD bool take_terminal(struct spawn_child *child)
{
    return !child->spec->terminal || syscall(SYS_ioctl, 0L, (unsigned long)TIOCSCTTY, 0L) == 0;
}

static IN_CHILD bool set_limits(struct spawn_child *child)
{
    /* A container without /proc runs programs too: this file may be missing. */
    long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        (void)syscall(SYS_write, fd, oom_score_adj, sizeof oom_score_adj - 1);
        (void)syscall(SYS_close, fd);
    }
    return syscall(SYS_prlimit64, 0L, RLIMIT_NOFILE, &child->spawner->open_files, NULL) == 0;
}

/* execve resets handlers but keeps what is ignored, which is two for the agent. */
static IN_CHILD bool reset_signals(struct spawn_child *child)
{
    (void)child;
    /* The kernel's own structures differ between machines; zero is the default in all. */
    const unsigned long action[SIGNAL_ACTION_WORDS] = {0};
    const uint64_t none = 0;
    return syscall(SYS_rt_sigaction, SIGPIPE, action, NULL, SIGNAL_SET_SIZE) == 0 &&
           syscall(SYS_rt_sigaction, SIGXFSZ, action, NULL, SIGNAL_SET_SIZE) == 0 &&
           syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGNAL_SET_SIZE) == 0;
}

static IN_CHILD bool drop_bounding(struct spawn_child *child)
{
    for (int i = 0; i < child->spawner->bounding_count; i++) {
        long capability = child->spawner->bounding[i];
        if ((child->spec->locked || capability == CAP_SETPCAP) &&
            syscall(SYS_prctl, PR_CAPBSET_DROP, capability, 0L, 0L, 0L) != 0) {
            return false;
        }
    }
    return true;
}

static IN_CHILD bool set_ids(struct spawn_child *child)
{
    const struct user *user = child->spec->user;
    return syscall(SYS_setgroups, user->group_count, user->groups) == 0 &&
           syscall(SYS_setresgid, user->gid, user->gid, user->gid) == 0 &&
           syscall(SYS_setresuid, user->uid, user->uid, user->uid) == 0;
}

/* Root keeps what it has until execve gives it the bounding set; anyone else has none. What is not
 * inheritable is not ambient either. */
static IN_CHILD bool drop_capabilities(struct spawn_child *child)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) != 0) {
        return false;
    }
    bool none = child->spec->locked || child->spec->user->uid != 0;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].inheritable = 0;
        data[i].permitted = none ? 0 : data[i].permitted;
        data[i].effective = none ? 0 : data[i].effective;
    }
    return syscall(SYS_capset, &header, data) == 0;
}

static IN_CHILD bool set_no_new_privs(struct spawn_child *child)
{
    return !child->spec->locked || syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0;
}

static IN_CHILD bool enter_cwd(struct spawn_child *child)
{
    return syscall(SYS_chdir, child->spec->cwd) == 0 ||
           (child->spec->cwd_optional && syscall(SYS_chdir, "/") == 0);
}

/* Tries each path as a shell would: one that is there and may not be run is told only when no other
 * can be. Returns only when none could. */
static IN_CHILD bool run(struct spawn_child *child)
{
    int refusal = 0;
    for (const char *const *path = child->paths; *path != NULL; path++) {
        (void)syscall(SYS_execve, *path, child->spec->argv, child->spec->envp);
        if (errno == EACCES) {
            refusal = EACCES;
        } else if (errno != ENOENT && errno != ENOTDIR) {
            return false;
        }
    }
    errno = refusal != 0 ? refusal : ENOENT;
    return false;
}

static bool (*const stages[])(struct spawn_child *child) = {
    [SPAWN_SESSION] = start_session,
    [SPAWN_STDIO] = set_stdio,
    [SPAWN_TERMINAL] = take_terminal,
    [SPAWN_LIMITS] = set_limits,
    [SPAWN_SIGNALS] = reset_signals,
    [SPAWN_BOUNDING] = drop_bounding,
    [SPAWN_IDS] = set_ids,
    [SPAWN_CAPABILITIES] = drop_capabilities,
    [SPAWN_NO_NEW_PRIVS] = set_no_new_privs,
    [SPAWN_CWD] = enter_cwd,
    [SPAWN_EXEC] = run,
};

IN_CHILD int spawn_child_main(void *arg)
{
    struct spawn_child *child = arg;
    child->error_number = 0;
    for (child->stage = SPAWN_SESSION; child->stage <= SPAWN_EXEC; child->stage++) {
        if (!stages[child->stage](child)) {
            child->error_number = errno;
            break;
        }
    }
    (void)syscall(SYS_exit_group, 127);
    __builtin_unreachable();
}
