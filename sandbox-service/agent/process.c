#include "sandbox-service/agent/process_table.h"

#include "common/base/clock.h"
#include "sandbox-service/agent/cgroup.h"
#include "sandbox-service/agent/group.h"
#include "sandbox-service/agent/pipes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* How a shell tells that its command was killed. */
enum { SHELL_SIGKILL_CODE = 128 + SIGKILL, RETRY_MS = 200 };

static void release_text(struct process *process, struct str *text)
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
    if (output->process->terminal && output->fd >= 0) {
        output->process->all->terminal_count--;
    }
    close_fd(&output->fd);
    output->fd = -1;
    output->paused = false;
    output->owed = 0;
}

static bool any_output(const struct process *process, bool (*test)(const struct output *output))
{
    return test(&process->outputs[PROCESS_STDOUT]) || test(&process->outputs[PROCESS_STDERR]);
}

static bool is_open(const struct output *output)
{
    return output->event != NULL;
}

static bool is_paused(const struct output *output)
{
    return output->paused;
}

static bool is_owed(const struct output *output)
{
    return output->owed > 0;
}

static void unlink_process(struct process *process)
{
    struct processes *all = process->all;
    if (list_is_linked(&process->node)) {
        list_remove(&process->node);
        *(process->finished ? &all->kept_count : &all->live_count) -= 1;
    }
    if (list_is_linked(&process->drain_node)) {
        list_remove(&process->drain_node);
        all->drain_count--;
    }
}

static void free_memory(void *object)
{
    free(object);
}

void process_free(struct process *process)
{
    process_count_out(process);
    unlink_process(process);
    process_drop_stdin(process);
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        close_output(&process->outputs[i]);
        release_text(process, &process->outputs[i].text);
    }
    timer_close(&process->deadline);
    timer_close(&process->quiet);
    about_free(&process->about);
    spool_close(&process->spool);
    loop_free_later(process->all->loop, &process->corpse, free_memory, process);
}

/* Nothing holds its output any more, or is to hold it. */
static void end_drain(struct process *process)
{
    close_output(&process->outputs[PROCESS_STDOUT]);
    close_output(&process->outputs[PROCESS_STDERR]);
    list_remove(&process->drain_node);
    process->all->drain_count--;
    if (!list_is_linked(&process->node)) {
        process_free(process); /* it was forgotten already */
    }
}

bool process_end_terminal_drain(struct processes *all)
{
    for (LIST_EACH(node, &all->drains)) {
        struct process *process = LIST_ENTRY(node, struct process, drain_node);
        if (process->terminal) {
            end_drain(process);
            return true;
        }
    }
    return false;
}

/* The result is given; what still holds the pipes may go on writing. */
static void drain(struct process *process)
{
    struct processes *all = process->all;
    if (all->drain_count == PROCESS_DRAINS_MAX) {
        end_drain(LIST_ENTRY(all->drains.next, struct process, drain_node));
    }
    list_append(&all->drains, &process->drain_node);
    all->drain_count++;
    process_resume(process);
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
    struct process_result result = {.truncated = process->truncated, .exit = process->exit};
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        result.output[i] = str_view(&process->outputs[i].text);
    }
    done(&result, process->arg);
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        release_text(process, &process->outputs[i].text);
    }
}

void process_tell_readers(struct process *process)
{
    for (LIST_EACH(node, &process->spool.readers)) {
        struct process_reader *reader = LIST_ENTRY(node, struct process_reader, spool.node);
        reader->on_more(reader->arg);
    }
}

static struct process_exit exit_of(const struct process *process)
{
    return (struct process_exit){
        .exit_code = process->end.exit_code,
        .signal_number = process->end.signal_number,
        .reason = reason_of(process),
        .duration_ms = (process->ended_us - process->started_us) / 1000,
        .output_open = any_output(process, is_open),
        .is_measured = process->measure,
        .cpu_ms = process->cpu_us < 0 ? -1 : process->cpu_us / 1000,
        .peak_memory_bytes = process->end.peak_memory_bytes,
    };
}

void process_finish(struct process *process)
{
    if (process->done != NULL && process->all->held) {
        list_remove(&process->node);
        list_append(&process->all->ready, &process->node);
        if (timer_is_armed(&process->quiet)) {
            timer_disarm(&process->quiet);
        }
        return;
    }
    unlink_process(process);
    process->finished = true;
    if (!process->fed) {
        process->exit = exit_of(process);
    }
    timer_close(&process->deadline);
    timer_close(&process->quiet);
    spool_seal(&process->spool);
    if (any_output(process, is_open)) {
        drain(process);
    }
    give_result(process);
    process_tell_readers(process);
    process_keep(process);
}

/* After the end: how long to wait for more output. What a reader is too slow for is not quiet, and
 * what the process itself wrote is read in any case. */
static void await_quiet(struct process *process)
{
    int64_t lingered_ms = (clock_monotonic_us() - process->ended_us) / 1000;
    int64_t left_ms = PROCESS_LINGER_MAX_MS - lingered_ms;
    bool paused = any_output(process, is_paused);
    if (left_ms <= 0 && !any_output(process, is_owed)) {
        process_finish(process);
        return;
    }
    if (left_ms <= 0 && paused) {
        timer_disarm(&process->quiet); /* until there is room again */
        return;
    }
    bool wait_all = paused || (left_ms > 0 && left_ms < PROCESS_QUIET_MS);
    timer_arm(&process->quiet, wait_all ? left_ms : PROCESS_QUIET_MS);
}

/* Called whenever something about a process has changed. */
static void advance(struct process *process)
{
    if (process->running || process->finished) {
        return;
    }
    if (!any_output(process, is_open)) {
        process_finish(process);
        return;
    }
    if (!process->strict_eof || process->timed_out) {
        await_quiet(process);
    }
}

static void on_quiet(void *arg)
{
    struct process *process = arg;
    if (any_output(process, is_paused)) {
        await_quiet(process);
    } else {
        process_finish(process);
    }
}

static void keep_for_result(struct output *output, const char *bytes, size_t len)
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

static unsigned kind_of(const struct output *output)
{
    return output == &output->process->outputs[PROCESS_STDOUT] ? PROCESS_STDOUT : PROCESS_STDERR;
}

void process_await_memory(struct process *process)
{
    if (!spool_waits_for_reader(&process->spool)) {
        timer_arm(&process->all->retry, RETRY_MS);
    }
}

/* Its pipe fills up then, and the process waits. */
static void pause_output(struct output *output)
{
    output->paused = event_del(output->event) == 0;
    process_await_memory(output->process);
    advance(output->process);
}

static void resume_feed(struct process *process)
{
    size_t room = 0;
    if (process->feed_paused && process->feed.on_room != NULL &&
        spool_reserve(&process->spool, PROCESS_STDOUT, &room) != NULL) {
        process->feed_paused = false;
        process->feed.on_room(process->feed.arg);
    }
}

void process_resume(struct process *process)
{
    resume_feed(process);
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        struct output *output = &process->outputs[i];
        size_t room = 0;
        if (output->paused &&
            (process->finished || spool_reserve(&process->spool, kind_of(output), &room) != NULL)) {
            output->paused = event_add(output->event, NULL) != 0;
        }
    }
}

void process_on_retry(void *arg)
{
    struct processes *all = arg;
    for (LIST_EACH(node, &all->live)) {
        struct process *process = LIST_ENTRY(node, struct process, node);
        process_resume(process);
        if (process->feed_paused || any_output(process, is_paused)) {
            process_await_memory(process);
        }
    }
}

/* Of a terminal the last descriptor's close reads as an error. */
static bool is_for_later(int error_number)
{
    return error_number == EAGAIN || error_number == EINTR;
}

static void drop_output(struct output *output)
{
    struct process *process = output->process;
    ssize_t len = read(output->fd, process->all->buffer, PROCESS_READ_SIZE);
    if (len > 0 || (len < 0 && is_for_later(errno))) {
        return;
    }
    close_output(output);
    if (!any_output(process, is_open)) {
        end_drain(process);
    }
}

void process_take_output(struct output *output, const char *bytes, size_t len)
{
    struct process *process = output->process;
    output->owed -= len < output->owed ? len : output->owed;
    keep_for_result(output, bytes, len);
    spool_commit(&process->spool, kind_of(output), len);
    process_tell_readers(process);
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct output *output = arg;
    size_t room = 0;
    if (output->process->finished) {
        drop_output(output);
        return;
    }
    char *buffer = spool_reserve(&output->process->spool, kind_of(output), &room);
    if (buffer == NULL) {
        pause_output(output);
        return;
    }
    ssize_t len = read(fd, buffer, room);
    if (len < 0 && is_for_later(errno)) {
        return;
    }
    if (len > 0) {
        process_take_output(output, buffer, (size_t)len);
    } else {
        close_output(output);
    }
    advance(output->process);
}

static void on_deadline(void *arg)
{
    struct process *process = arg;
    process->timed_out = true;
    (void)kill(-process->pid, SIGKILL);
    advance(process);
}

static void measure_end(struct process *process)
{
    int64_t before_us = process->cpu_us;
    int64_t now_us = before_us < 0 ? -1 : cgroup_cpu_us(CGROUP_ROOT);
    process->cpu_us = before_us < 0 || now_us < before_us ? -1 : now_us - before_us;
}

void process_end(struct process *process, const struct reap_end *end)
{
    process->running = false;
    process_count_out(process);
    process->end = *end;
    process->ended_us = clock_monotonic_us();
    if (process->measure) {
        measure_end(process);
    }
    if (process->alone) {
        group_kill_everybody();
    }
    process_drop_stdin(process);
    if (!process->strict_eof) {
        timer_disarm(&process->deadline);
    }
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        int waiting = 0;
        struct output *output = &process->outputs[i];
        bool known = is_open(output) && ioctl(output->fd, FIONREAD, &waiting) == 0;
        output->owed = known && waiting > 0 ? (size_t)waiting : 0;
    }
    advance(process);
}

static bool open_output(struct output *output, int fd)
{
    struct event_base *base = loop_base(output->process->all->loop);
    output->fd = fd;
    output->process->all->terminal_count += output->process->terminal ? 1 : 0;
    output->event = event_new(base, fd, EV_READ | EV_PERSIST, on_output, output);
    return output->event != NULL && event_add(output->event, NULL) == 0;
}

bool process_open_events(struct process *process, struct pipes *pipes, struct err *err)
{
    struct loop *loop = process->all->loop;
    bool opened = timer_open(&process->deadline, loop, on_deadline, process, err) &&
                  timer_open(&process->quiet, loop, on_quiet, process, err);
    for (int i = 0; i < PROCESS_OUTPUTS && opened; i++) {
        if (pipes->ours[1 + i] >= 0) {
            opened = open_output(&process->outputs[i], take_fd(&pipes->ours[1 + i]));
        }
    }
    if (opened && pipes->ours[0] >= 0) {
        return process_open_stdin(process, take_fd(&pipes->ours[0]), err);
    }
    return opened || err_set(err, ERR_INTERNAL, "process: out of memory");
}
