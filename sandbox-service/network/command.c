#include "sandbox-service/network/command.h"

#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

enum { CHUNK = 4096 };

struct run {
    pid_t pid;
    int in_fd;  /* -1 when all is given */
    int out_fd; /* -1 after the end */
    struct view input;
    struct str *output;
    int64_t until_ms;
};

static void close_end(int *fd)
{
    close_fd(fd);
    *fd = -1;
}

/* Our signals' masks and dispositions are not the program's. */
static bool spawn(struct run *run, const char *const *argv, int in_fd, int out_fd)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    static char *const environment[] = {path, NULL};
    sigset_t none;
    sigset_t ignored;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    union {
        const char *const *in;
        char *const *out;
    } arguments = {.in = argv};
    (void)sigemptyset(&none);
    (void)sigemptyset(&ignored);
    (void)sigaddset(&ignored, SIGPIPE);
    if (posix_spawnattr_init(&attributes) != 0 || posix_spawn_file_actions_init(&actions) != 0) {
        return false;
    }
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &ignored);
    bool ok = posix_spawn_file_actions_adddup2(&actions, in_fd, STDIN_FILENO) == 0 &&
              posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO) == 0 &&
              posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO) == 0 &&
              (errno = posix_spawn(&run->pid, argv[0], &actions, &attributes, arguments.out,
                                   environment)) == 0;
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return ok;
}

static bool start(struct run *run, const char *const *argv, struct err *err)
{
    int in_pipe[2];
    int out_pipe[2];
    if (pipe2(in_pipe, O_CLOEXEC) != 0) {
        return err_set(err, ERR_INTERNAL, "pipe: %s", strerror(errno));
    }
    if (pipe2(out_pipe, O_CLOEXEC) != 0) {
        (void)close(in_pipe[0]);
        (void)close(in_pipe[1]);
        return err_set(err, ERR_INTERNAL, "pipe: %s", strerror(errno));
    }
    bool ok = spawn(run, argv, in_pipe[0], out_pipe[1]);
    int problem = errno;
    (void)close(in_pipe[0]);
    (void)close(out_pipe[1]);
    run->in_fd = in_pipe[1];
    run->out_fd = out_pipe[0];
    (void)fcntl(run->in_fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(run->out_fd, F_SETFL, O_NONBLOCK);
    if (!ok) {
        close_end(&run->in_fd);
        close_end(&run->out_fd);
        return err_set(err, ERR_UNAVAILABLE, "can't run %s: %s", argv[0], strerror(problem));
    }
    return true;
}

static void give(struct run *run)
{
    ssize_t given = run->input.len == 0 ? 0 : write(run->in_fd, run->input.ptr, run->input.len);
    if (given > 0) {
        run->input = view_from(run->input, (size_t)given);
    }
    if (run->input.len == 0 || (given < 0 && errno != EAGAIN && errno != EINTR)) {
        close_end(&run->in_fd);
    }
}

static void take(struct run *run)
{
    char chunk[CHUNK];
    ssize_t got = read(run->out_fd, chunk, sizeof chunk);
    if (got > 0) {
        str_append(run->output, chunk, (size_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_end(&run->out_fd);
    }
}

/* Until the program closes its output; false at the deadline. */
static bool talk(struct run *run)
{
    while (run->out_fd >= 0) {
        int64_t left_ms = run->until_ms - clock_monotonic_ms();
        struct pollfd fds[] = {{.fd = run->out_fd, .events = POLLIN},
                               {.fd = run->in_fd, .events = POLLOUT}};
        if (left_ms <= 0) {
            return false;
        }
        (void)poll(fds, 2, (int)left_ms);
        if (run->in_fd >= 0 && fds[1].revents != 0) {
            give(run);
        }
        if (fds[0].revents != 0) {
            take(run);
        }
    }
    return true;
}

/* A program may close its output and go on; false at the deadline. */
static bool await_end(const struct run *run, int *status)
{
    enum { LOOK_MS = 5 };
    pid_t ended;
    while ((ended = waitpid(run->pid, status, WNOHANG)) != run->pid) {
        if ((ended < 0 && errno != EINTR) || clock_monotonic_ms() >= run->until_ms) {
            return false;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
    return true;
}

bool command_run(const char *const *argv, struct view input, int64_t timeout_ms, struct str *output,
                 int *exit_status, struct err *err)
{
    struct run run = {
        .input = input, .output = output, .until_ms = clock_monotonic_ms() + timeout_ms};
    int status = 0;
    if (!start(&run, argv, err)) {
        return false;
    }
    bool in_time = talk(&run) && await_end(&run, &status);
    if (!in_time) {
        (void)kill(run.pid, SIGKILL);
        while (waitpid(run.pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    close_end(&run.in_fd);
    close_end(&run.out_fd);
    *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return in_time || err_set(err, ERR_TIMEOUT, "%s took over %d ms", argv[0], (int)timeout_ms);
}
