#include "sandbox-service/agent/starter.h"

#include "sandbox-service/agent/exec_prepare.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROBE_LINE_ROOM = 128 };

enum state { STATE_NOTHING, STATE_STARTING, STATE_READY, STATE_FAILED };

struct starter {
    const struct settings *settings; /* borrowed */
    struct processes *processes;     /* borrowed */
    enum state state;
    struct err failure; /* of the last state */
    struct timer look;  /* at the port */
    struct timer deadline;
    uint16_t port; /* 0: none is looked at */
    struct reply waiters[STARTER_WAITERS_MAX];
    size_t waiter_count;
};

static void answer(const struct starter *starter, const struct reply *reply)
{
    if (starter->state == STATE_FAILED) {
        reply_error(reply, &starter->failure);
        return;
    }
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "readyResponse");
    reply_end(reply, &writer);
}

static void settle(struct starter *starter, enum state state)
{
    timer_disarm(&starter->look);
    timer_disarm(&starter->deadline);
    starter->state = state;
    for (size_t i = 0; i < starter->waiter_count; i++) {
        answer(starter, &starter->waiters[i]);
    }
    starter->waiter_count = 0;
}

/* Runs a line in a shell, as an exec in the background would. */
static bool run(struct starter *starter, const char *line, const char *tag, int64_t timeout_ms,
                process_done_fn *done)
{
    struct preparation preparation = {.argv = NULL};
    struct view args[] = {VIEW("-c"), view_of(line)};
    const struct agent_exec exec = {
        .cmd = VIEW("/bin/sh"),
        .args = {.items = args, .count = sizeof args / sizeof args[0]},
        .background = true,
        .timeout_ms = timeout_ms,
        .has_timeout = true,
        .tag = view_of(tag),
    };
    struct err *err = &starter->failure;
    struct process *process = NULL;
    if (preparation_make(&preparation, starter->settings, &exec, err)) {
        struct process_start start = preparation_start(&preparation, starter->settings, &exec);
        start.output_max = 0;
        start.is_uncounted = true;
        start.done = done;
        start.arg = starter;
        process = process_begin(starter->processes, &start, err);
    }
    preparation_free(&preparation);
    return process != NULL;
}

static void fail(struct starter *starter, const char *what, const struct process_exit *end)
{
    bool by_signal = end->signal_number != 0;
    err_set_reason(&starter->failure, ERR_CONFLICT, "start_failed", "the %s ended with %s%d", what,
                   by_signal ? "signal " : "", by_signal ? end->signal_number : end->exit_code);
    settle(starter, STATE_FAILED);
}

/* It may go into the background by itself: only a bad end says something. */
static void on_command_ended(const struct process_result *result, void *arg)
{
    struct starter *starter = arg;
    if (starter->state == STATE_STARTING && result->exit.exit_code != 0) {
        fail(starter, "start command", &result->exit);
    }
}

static void on_probe_ended(const struct process_result *result, void *arg)
{
    struct starter *starter = arg;
    if (starter->state != STATE_STARTING) {
        return;
    }
    if (result->exit.exit_code == 0) {
        settle(starter, STATE_READY);
    } else {
        fail(starter, "probe", &result->exit);
    }
}

/* The machine's own: it is known within the call whether somebody listens. */
static bool is_taken(int family, uint16_t port)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool is_v4 = family == AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    struct pollfd waits = {.fd = fd, .events = POLLOUT};
    (void)connect(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
                  is_v4 ? sizeof v4 : sizeof v6);
    bool taken = poll(&waits, 1, 0) == 1 && (waits.revents & (POLLERR | POLLHUP)) == 0 &&
                 getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) == 0 && problem == 0;
    (void)close(fd);
    return taken;
}

static void on_look(void *arg)
{
    struct starter *starter = arg;
    if (is_taken(AF_INET, starter->port) || is_taken(AF_INET6, starter->port)) {
        settle(starter, STATE_READY);
    } else {
        timer_arm(&starter->look, STARTER_LOOK_EVERY_MS);
    }
}

static void on_deadline(void *arg)
{
    struct starter *starter = arg;
    err_set_reason(&starter->failure, ERR_CONFLICT, "start_timeout",
                   "what the template starts did not serve in time");
    settle(starter, STATE_FAILED);
}

/* One that can't begin has failed as one that ends badly has. */
static void fail_to_run(struct starter *starter)
{
    starter->failure.code = ERR_CONFLICT;
    (void)snprintf(starter->failure.reason, sizeof starter->failure.reason, "start_failed");
    settle(starter, STATE_FAILED);
}

/* In one shell, so that it is one process among those that are listed. */
static bool run_probe(struct starter *starter, const struct agent_start *start)
{
    AUTO(str_free) struct str line = STR_INIT(AGENT_START_COMMAND_MAX + PROBE_LINE_ROOM);
    str_append_string(&line, "until (\n");
    str_append_view(&line, start->probe);
    str_append_string(&line, "\n) </dev/null >/dev/null 2>&1; do sleep 0.2 || sleep 1; done");
    if (!str_check(&line, "the probe", &starter->failure)) {
        return false;
    }
    /* Killed a little later than it is given up: it is the deadline that tells. */
    return run(starter, line.data, STARTER_PROBE_TAG, start->timeout_ms + STARTER_LOOK_EVERY_MS,
               on_probe_ended);
}

void starter_begin(struct starter *starter, const struct agent_start *start)
{
    char command[AGENT_START_COMMAND_MAX + 1];
    if (starter->state != STATE_NOTHING) {
        return;
    }
    starter->state = STATE_STARTING;
    starter->port = (uint16_t)start->port;
    if (start->command.len == 0 || !view_copy(start->command, command, sizeof command)) {
        err_set(&starter->failure, ERR_INVALID, "the start command can't be read");
        fail_to_run(starter);
    } else if (!run(starter, command, STARTER_TAG, 0, on_command_ended) ||
               (start->probe.len > 0 && !run_probe(starter, start))) {
        fail_to_run(starter);
    } else if (starter->port == 0 && start->probe.len == 0) {
        settle(starter, STATE_READY);
    } else {
        timer_arm(&starter->deadline, start->timeout_ms);
        if (starter->port > 0) {
            timer_arm(&starter->look, 0);
        }
    }
}

void starter_answer(struct starter *starter, const struct reply *reply)
{
    struct err err = {0};
    if (starter->state != STATE_STARTING) {
        answer(starter, reply);
    } else if (starter->waiter_count == STARTER_WAITERS_MAX) {
        err_set_reason(&err, ERR_LIMIT, "busy", "too many wait for it");
        reply_error(reply, &err);
    } else {
        starter->waiters[starter->waiter_count++] = *reply;
    }
}

struct starter *starter_new(struct loop *loop, const struct settings *settings,
                            struct processes *processes, struct err *err)
{
    struct starter *starter = calloc(1, sizeof *starter);
    if (starter == NULL) {
        err_set(err, ERR_INTERNAL, "starter: out of memory");
        return NULL;
    }
    starter->settings = settings;
    starter->processes = processes;
    if (!timer_open(&starter->look, loop, on_look, starter, err) ||
        !timer_open(&starter->deadline, loop, on_deadline, starter, err)) {
        starter_free(starter);
        return NULL;
    }
    return starter;
}

void starter_free(struct starter *starter)
{
    if (starter != NULL) {
        timer_close(&starter->look);
        timer_close(&starter->deadline);
        free(starter);
    }
}
