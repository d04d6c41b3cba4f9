#include "sandbox-service/agent/process_table.h"

#include "common/base/clock.h"
#include "sandbox-service/agent/pipes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* How a shell tells that its command was killed. */
enum { SHELL_SIGKILL_CODE = 128 + SIGKILL };

static void release_memory(struct process *process, struct str *text)
{
    process->all->memory -= text->len;
    str_free(text);
}

static void close_output(struct output *output)
{
    if (output->event != NULL) {
        event_free(output->event);
        output->event = NULL;
    }
    close_fd(&output->fd);
    output->fd = -1;
}

static void close_stdin(struct process *process)
{
    if (process->stdin_event != NULL) {
        event_free(process->stdin_event);
        process->stdin_event = NULL;
    }
    close_fd(&process->stdin_fd);
    process->stdin_fd = -1;
    release_memory(process, &process->stdin_text);
}

static bool has_open_output(const struct process *process)
{
    return process->outputs[PROCESS_STDOUT].event != NULL ||
           process->outputs[PROCESS_STDERR].event != NULL;
}

static void unlink_process(struct process *process)
{
    if (list_is_linked(&process->node)) {
        list_remove(&process->node);
        *(process->draining ? &process->all->drain_count : &process->all->live_count) -= 1;
    }
}

void process_free(struct process *process)
{
    unlink_process(process);
    close_stdin(process);
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        close_output(&process->outputs[i]);
        release_memory(process, &process->outputs[i].text);
    }
    timer_close(&process->deadline);
    timer_close(&process->quiet);
    free(process);
}

/* The result is given; what still holds the pipes may go on writing. */
static void drain(struct process *process)
{
    struct processes *all = process->all;
    unlink_process(process);
    if (all->drain_count == PROCESS_DRAINS_MAX) {
        process_free(LIST_ENTRY(all->drains.next, struct process, node));
    }
    process->draining = true;
    list_append(&all->drains, &process->node);
    all->drain_count++;
    timer_disarm(&process->deadline);
    timer_disarm(&process->quiet);
}

static bool was_oom(const struct process *process)
{
    bool killed =
        process->end.signal_number == SIGKILL || process->end.exit_code == SHELL_SIGKILL_CODE;
    return killed && oom_kills(&process->all->oom) > process->oom_kills;
}

static const char *reason_of(const struct process *process)
{
    bool cut_short = process->end.signal_number == SIGKILL || process->strict_eof;
    if (process->timed_out && cut_short) {
        return "timeout";
    }
    if (was_oom(process)) {
        return "oom";
    }
    return process->end.signal_number != 0 ? "signaled" : "exited";
}

static void give_result(struct process *process)
{
    process_done_fn *done = process->done;
    process->done = NULL;
    if (done == NULL) {
        return;
    }
    struct process_result result = {
        .truncated = process->truncated,
        .output_open = has_open_output(process),
        .exit_code = process->end.exit_code,
        .signal_number = process->end.signal_number,
        .reason = reason_of(process),
        .duration_ms = (process->ended_us - process->started_us) / 1000,
    };
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        result.output[i] = str_view(&process->outputs[i].text);
    }
    done(&result, process->arg);
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        release_memory(process, &process->outputs[i].text);
    }
}

void process_finish(struct process *process)
{
    if (process->done != NULL && process->all->held) {
        list_remove(&process->node);
        list_append(&process->all->ready, &process->node);
        timer_disarm(&process->quiet);
        return;
    }
    give_result(process);
    if (has_open_output(process)) {
        if (!process->draining) {
            drain(process);
        }
        return;
    }
    process_free(process);
}

/* After the end: how long to wait for more output. */
static void await_quiet(struct process *process)
{
    int64_t lingered_ms = (clock_monotonic_us() - process->ended_us) / 1000;
    int64_t left_ms = PROCESS_LINGER_MAX_MS - lingered_ms;
    if (left_ms <= 0) {
        process_finish(process);
        return;
    }
    timer_arm(&process->quiet, left_ms < PROCESS_QUIET_MS ? left_ms : PROCESS_QUIET_MS);
}

/* Called whenever something about a process has changed. */
static void advance(struct process *process)
{
    if (process->running) {
        return;
    }
    if (!has_open_output(process) || process->done == NULL) {
        process_finish(process);
        return;
    }
    if (!process->strict_eof || process->timed_out) {
        await_quiet(process);
    }
}

static void keep(struct output *output, const char *bytes, size_t len)
{
    struct process *process = output->process;
    if (process->done == NULL) {
        return;
    }
    size_t room = process->output_max - output->text.len;
    size_t memory = PROCESS_MEMORY_MAX - process->all->memory;
    size_t kept = len < room ? len : room;
    kept = kept < memory ? kept : memory;
    size_t before = output->text.len;
    str_append(&output->text, bytes, kept);
    kept = output->text.len - before;
    process->all->memory += kept;
    process->truncated = process->truncated || kept < len;
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct output *output = arg;
    char *buffer = output->process->all->buffer;
    ssize_t len = read(fd, buffer, PROCESS_READ_SIZE);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (len > 0) {
        keep(output, buffer, (size_t)len);
    } else {
        close_output(output);
    }
    advance(output->process);
}

static void on_stdin_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct process *process = arg;
    struct view text = str_view(&process->stdin_text);
    if (process->stdin_sent == text.len) {
        close_stdin(process);
        return;
    }
    ssize_t len = write(fd, text.ptr + process->stdin_sent, text.len - process->stdin_sent);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    process->stdin_sent = len < 0 ? text.len : process->stdin_sent + (size_t)len;
    if (process->stdin_sent == text.len) {
        close_stdin(process);
    }
}

static void on_deadline(void *arg)
{
    struct process *process = arg;
    process->timed_out = true;
    (void)kill(-process->pid, SIGKILL);
    advance(process);
}

static void on_quiet(void *arg)
{
    process_finish(arg);
}

void process_end(struct process *process, const struct reap_end *end)
{
    process->running = false;
    process->end = *end;
    process->ended_us = clock_monotonic_us();
    close_stdin(process);
    if (!process->strict_eof) {
        timer_disarm(&process->deadline);
    }
    advance(process);
}

static bool open_events(struct process *process, struct pipes *pipes, struct err *err)
{
    struct event_base *base = loop_base(process->all->loop);
    bool opened = timer_open(&process->deadline, process->all->loop, on_deadline, process, err) &&
                  timer_open(&process->quiet, process->all->loop, on_quiet, process, err);
    for (int i = 0; i < PROCESS_OUTPUTS && opened; i++) {
        struct output *output = &process->outputs[i];
        output->fd = take_fd(&pipes->ours[1 + i]);
        output->event = event_new(base, output->fd, EV_READ | EV_PERSIST, on_output, output);
        opened = output->event != NULL && event_add(output->event, NULL) == 0;
    }
    if (opened && pipes->ours[0] >= 0) {
        process->stdin_fd = take_fd(&pipes->ours[0]);
        process->stdin_event =
            event_new(base, process->stdin_fd, EV_WRITE | EV_PERSIST, on_stdin_writable, process);
        opened = process->stdin_event != NULL && event_add(process->stdin_event, NULL) == 0;
    }
    return opened || err_set(err, ERR_INTERNAL, "process: out of memory");
}

static bool check_bounds(const struct processes *all, const struct process_start *start,
                         struct err *err)
{
    if (all->live_count >= PROCESSES_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "%d commands run already", PROCESSES_MAX);
    }
    if (start->stdin_text.len >= PROCESS_MEMORY_MAX - all->memory) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too much output waits to be fetched");
    }
    return true;
}

static struct process *new_process(struct processes *all, const struct process_start *start)
{
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL) {
        return NULL;
    }
    process->all = all;
    process->stdin_fd = -1;
    process->strict_eof = start->strict_eof;
    process->output_max = start->output_max;
    process->stdin_text = STR_INIT(start->stdin_text.len);
    str_append_view(&process->stdin_text, start->stdin_text);
    all->memory += process->stdin_text.len;
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        process->outputs[i] =
            (struct output){.process = process, .fd = -1, .text = STR_INIT(start->output_max)};
    }
    process->oom_kills = oom_kills(&all->oom);
    process->started_us = clock_monotonic_us();
    return process;
}

/* Once the program runs nothing may fail any more, so all that can is done before. */
static bool start_process(struct process *process, const struct process_start *start,
                          struct pipes *pipes, struct err *err)
{
    struct spawn_spec spec = start->spawn;
    memcpy(spec.fds, pipes->theirs, sizeof spec.fds);
    return open_events(process, pipes, err) &&
           spawn(&process->all->spawner, &spec, &process->pid, err);
}

bool process_begin(struct processes *processes, const struct process_start *start, pid_t *pid,
                   struct err *err)
{
    AUTO(pipes_close) struct pipes pipes = PIPES_INIT;
    if (!check_bounds(processes, start, err) ||
        !pipes_open(&pipes, start->has_stdin ? -1 : processes->null_fd, start->spawn.user, err)) {
        return false;
    }
    struct process *process = new_process(processes, start);
    if (process == NULL || process->stdin_text.failed) {
        free(process);
        return err_set(err, ERR_INTERNAL, "process: out of memory");
    }
    if (!start_process(process, start, &pipes, err)) {
        process_free(process);
        return false;
    }
    *pid = process->pid;
    process->running = true;
    process->done = start->done;
    process->arg = start->arg;
    if (start->timeout_ms > 0) {
        timer_arm(&process->deadline, start->timeout_ms);
    }
    list_append(&processes->live, &process->node);
    processes->live_count++;
    return true;
}
