/* sandbox-service/agent/spawn.h: starts a program as a tenant. No copy of the agent's memory is
 * made for it: the child borrows it, on a stack of its own, and makes system calls only. */
#ifndef SANDBOX_AGENT_SPAWN_H
#define SANDBOX_AGENT_SPAWN_H

#include "sandbox-service/agent/user.h"
#include "sandbox-service/agent/watchdog.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { SPAWN_CAPABILITIES_MAX = 64 };

/* What every start needs; opened once, stays where it is. */
struct spawner {
    struct watchdog watchdog;
    char *stack; /* owned */
    size_t stack_size;
    int bounding[SPAWN_CAPABILITIES_MAX]; /* the capabilities in the agent's bounding set */
    int bounding_count;
    struct rlimit open_files; /* the container's: the agent raises its own */
};

/* Also raises the agent's own limit of open files to what it may. */
bool spawner_open(struct spawner *spawner, struct err *err) MUST_CHECK;
void spawner_close(struct spawner *spawner);

/* Everything is borrowed during the call. */
struct spawn_spec {
    char *const *argv; /* argv[0]: a path with a slash, or a name searched for in PATH */
    char *const *envp;
    const char *cwd;
    bool cwd_optional; /* "/" when cwd can't be entered */
    const struct user *user;
    bool locked;   /* no capabilities whatever the user, no_new_privs */
    int fds[3];    /* become 0, 1 and 2; each above 2 */
    bool terminal; /* they are one, and it becomes the session's */
};

/* Starts it as leader of a session and a process group of its own; returns when the program runs.
 * Errors: ERR_INVALID "command_not_found", "command_not_executable", "cwd_not_found",
 * "argument_list_too_long", ERR_DENIED "permission_denied", ERR_CONFLICT "file_busy", ERR_LIMIT
 * "too_many_processes", ERR_INTERNAL. A child that failed is waited for like any other. */
bool spawn(struct spawner *spawner, const struct spawn_spec *spec, pid_t *pid,
           struct err *err) MUST_CHECK;

#endif
