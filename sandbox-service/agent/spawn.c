#include "sandbox-service/agent/spawn.h"

#include "common/base/str.h"
#include "sandbox-service/agent/path.h"
#include "sandbox-service/agent/spawn_child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum {
    STACK_SIZE = 64 * 1024,
    GUARD_SIZE = 64 * 1024, /* a multiple of any page size */
    SEARCH_MAX = 64,        /* folders of PATH that are looked into */
};

bool spawner_open(struct spawner *spawner, struct err *err)
{
    *spawner = (struct spawner){.stack_size = STACK_SIZE + GUARD_SIZE};
    spawner->stack = mmap(NULL, spawner->stack_size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (spawner->stack == MAP_FAILED || mprotect(spawner->stack, GUARD_SIZE, PROT_NONE) != 0) {
        return err_set(err, ERR_INTERNAL, "the stack for starting programs: errno %d", errno);
    }
    if (!watchdog_open(&spawner->watchdog, err)) {
        return false;
    }
    for (int capability = 0; capability < SPAWN_CAPABILITIES_MAX; capability++) {
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
            spawner->bounding[spawner->bounding_count++] = capability;
        }
    }
    if (getrlimit(RLIMIT_NOFILE, &spawner->open_files) != 0) {
        return err_set(err, ERR_INTERNAL, "getrlimit: errno %d", errno);
    }
    struct rlimit own = spawner->open_files;
    own.rlim_cur = own.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &own) != 0) {
        return err_set(err, ERR_INTERNAL, "setrlimit: errno %d", errno);
    }
    return true;
}

void spawner_close(struct spawner *spawner)
{
    watchdog_close(&spawner->watchdog);
    if (spawner->stack != NULL && spawner->stack != MAP_FAILED) {
        (void)munmap(spawner->stack, spawner->stack_size);
    }
    spawner->stack = NULL;
}

/* The paths to try, in order, one after the other in one string each with its NUL. */
struct candidates {
    struct str text;
    const char *paths[SEARCH_MAX + 1]; /* NULL-terminated */
};

static void free_candidates(struct candidates *candidates)
{
    str_free(&candidates->text);
}

static const char *path_of(char *const *envp)
{
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, "PATH=", 5) == 0) {
            return *envp + 5;
        }
    }
    return "/usr/bin:/bin";
}

/* An empty folder in PATH is the current one. */
static bool find_candidates(struct candidates *out, const char *command, char *const *envp,
                            struct err *err)
{
    size_t starts[SEARCH_MAX];
    size_t count = 0;
    if (strchr(command, '/') != NULL) {
        out->paths[0] = command;
        return true;
    }
    for (const char *folder = path_of(envp); folder != NULL && count < SEARCH_MAX;) {
        const char *end = strchrnul(folder, ':');
        starts[count++] = out->text.len;
        str_append(&out->text, folder, (size_t)(end - folder));
        str_append_string(&out->text, end == folder ? "./" : "/");
        str_append(&out->text, command, strlen(command) + 1);
        folder = *end == '\0' ? NULL : end + 1;
    }
    if (!str_check(&out->text, "PATH", err)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        out->paths[i] = out->text.data + starts[i];
    }
    return true;
}

static bool failed_to_run(int error_number, const char *command, struct err *err)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
        return err_set_reason(err, ERR_INVALID, "command_not_found",
                              "there is no command '%.120s'%s", command,
                              strchr(command, ' ') == NULL
                                  ? ""
                                  : " (for a shell line: cmd \"sh\", args [\"-c\", \"...\"])");
    case EACCES:
    case EPERM:
    case EISDIR:
        return err_set_reason(err, ERR_DENIED, "permission_denied", "'%s' may not be run", command);
    case ENOEXEC:
    case EINVAL:
    case ELIBBAD:
    case ELOOP:
    case ENAMETOOLONG:
    case ETXTBSY:
        return err_set_reason(err, ERR_INVALID, "command_not_executable",
                              "'%s' is no program for this machine (a script needs a #! line)",
                              command);
    case E2BIG:
        return err_set_reason(err, ERR_INVALID, "argument_list_too_long",
                              "arguments and environment are too long together");
    default:
        return err_set(err, ERR_INTERNAL, "running '%s': errno %d", command, error_number);
    }
}

static bool failed(const struct spawn_child *child, const struct spawn_spec *spec, struct err *err)
{
    if (child->was_killed) {
        return err_set_reason(err, ERR_CONFLICT, "file_busy",
                              "'%s' did not start in time: something in the sandbox held it up",
                              spec->argv[0]);
    }
    bool is_limit = child->error_number == EAGAIN || child->error_number == ENOMEM;
    if (is_limit) {
        return err_set_reason(err, ERR_LIMIT, "too_many_processes",
                              "the sandbox has no room for another process");
    }
    if (child->stage == SPAWN_EXEC) {
        return failed_to_run(child->error_number, spec->argv[0], err);
    }
    if (child->stage == SPAWN_CWD && (child->error_number == EACCES)) {
        return err_set_reason(err, ERR_DENIED, "permission_denied", "'%s' may not be entered",
                              spec->cwd);
    }
    if (child->stage == SPAWN_CWD) {
        return err_set_reason(err, ERR_INVALID, "cwd_not_found", "there is no directory '%s'",
                              spec->cwd);
    }
    return err_set(err, ERR_INTERNAL, "starting a process: stage %d, errno %d", (int)child->stage,
                   child->error_number);
}

static bool clone_child(struct spawner *spawner, struct spawn_child *child, pid_t *pid)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    /* No handler of the agent's may run in the child. */
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    watchdog_begin(&spawner->watchdog);
    *pid = clone(spawn_child_main, spawner->stack + spawner->stack_size,
                 CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD, child,
                 &spawner->watchdog.child);
    int error_number = errno;
    child->was_killed = watchdog_end(&spawner->watchdog);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (*pid < 0) {
        child->stage = SPAWN_CLONE;
        child->error_number = error_number;
    }
    return child->error_number == 0 && !child->was_killed;
}

bool spawn(struct spawner *spawner, const struct spawn_spec *spec, pid_t *pid, struct err *err)
{
    AUTO(free_candidates)
    struct candidates candidates = {.text = STR_INIT(SEARCH_MAX * (size_t)PATH_SIZE)};
    if (!find_candidates(&candidates, spec->argv[0], spec->envp, err)) {
        return false;
    }
    struct spawn_child child = {
        .spawner = spawner, .spec = spec, .paths = candidates.paths, .stage = SPAWN_CLONE};
    return clone_child(spawner, &child, pid) || failed(&child, spec, err);
}
