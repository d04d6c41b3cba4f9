#include "sandbox-service/agent/process_table.h"

#include "common/base/clock.h"
#include "sandbox-service/agent/cgroup.h"
#include "sandbox-service/agent/pty.h"

#include <stdlib.h>

static bool tag_is_free(const struct list *list, struct view tag)
{
    for (LIST_EACH(node, list)) {
        const struct process *process = LIST_ENTRY(node, struct process, node);
        if (view_equal(process->about.tag, tag)) {
            return false;
        }
    }
    return true;
}

/* One whose command has ended gives way. */
static bool has_terminal_to_give(struct processes *all, struct err *err)
{
    return all->terminal_count < PROCESS_TERMINALS_MAX || process_end_terminal_drain(all) ||
           err_set_reason(err, ERR_LIMIT, "busy", "%d terminals are open already",
                          PROCESS_TERMINALS_MAX);
}

bool process_check_bounds(const struct processes *all, const struct process_start *start,
                          struct err *err)
{
    struct view tag = start->about.tag;
    if (all->live_count >= PROCESSES_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "%d commands run already", PROCESSES_MAX);
    }
    if (start->stdin_text.len >= PROCESS_MEMORY_MAX - all->memory) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too much output waits to be fetched");
    }
    return tag.len == 0 || (tag_is_free(&all->live, tag) && tag_is_free(&all->ready, tag)) ||
           err_set_reason(err, ERR_CONFLICT, "tag_in_use", "A process with this tag runs already.");
}

struct process *process_new(struct processes *all, const struct process_start *start,
                            struct err *err)
{
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL) {
        err_set(err, ERR_INTERNAL, "process: out of memory");
        return NULL;
    }
    process->all = all;
    process->stdin_fd = -1;
    process->strict_eof = start->strict_eof;
    process->alone = start->alone;
    process->terminal = start->terminal != NULL;
    process->output_max = start->output_max;
    list_init(&process->input);
    spool_open(&process->spool, &all->spools,
               start->spool_max == 0 ? SPOOL_DEFAULT : start->spool_max);
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        process->outputs[i] =
            (struct output){.process = process, .fd = -1, .text = STR_INIT(start->output_max)};
    }
    process->oom_kills = oom_kills(&all->oom);
    process->measure = start->measure;
    process->cpu_us = start->measure ? cgroup_cpu_us(CGROUP_ROOT) : -1;
    process->serial = ++all->last_serial;
    process->started_us = clock_monotonic_us();
    process->started_wall_ms = clock_wall_ms();
    if (!about_make(&process->about, &start->about, err)) {
        process_free(process);
        return NULL;
    }
    return process;
}

/* Before the program runs it waits for it in full. */
static bool fill_stdin(struct process *process, const struct process_start *start, struct err *err)
{
    if (start->stdin_text.len > 0 && process->stdin_event != NULL &&
        !process_queue_input(process, start->stdin_text, err)) {
        return false;
    }
    process->stdin_ends = !start->stdin_open && !process->terminal;
    return true;
}

/* Once the program runs nothing may fail any more, so all that can is done before. */
static bool start_process(struct process *process, const struct process_start *start,
                          struct pipes *pipes, struct err *err)
{
    struct spawn_spec spec = start->spawn;
    memcpy(spec.fds, pipes->theirs, sizeof spec.fds);
    spec.terminal = process->terminal;
    return process_open_events(process, pipes, err) && fill_stdin(process, start, err) &&
           spawn(&process->all->spawner, &spec, &process->pid, err);
}

static bool open_stdio(struct processes *all, const struct process_start *start,
                       struct pipes *pipes, struct err *err)
{
    bool needs_pipe = start->has_stdin || start->stdin_open;
    return start->terminal != NULL
               ? pty_open(pipes, start->spawn.user, start->terminal, err)
               : pipes_open(pipes, needs_pipe ? -1 : all->null_fd, start->spawn.user, err);
}

void process_add(struct process *process, const struct process_start *start)
{
    process->running = true;
    process->done = start->done;
    process->arg = start->arg;
    list_append(&process->all->live, &process->node);
    process->all->live_count++;
    if (!start->is_uncounted) {
        process_count_in(process);
    }
}

struct process *process_begin(struct processes *processes, const struct process_start *start,
                              struct err *err)
{
    AUTO(pipes_close) struct pipes pipes = PIPES_INIT;
    if (!process_check_bounds(processes, start, err) ||
        (start->terminal != NULL && !has_terminal_to_give(processes, err)) ||
        !open_stdio(processes, start, &pipes, err)) {
        return NULL;
    }
    struct process *process = process_new(processes, start, err);
    if (process == NULL) {
        return NULL;
    }
    if (!start_process(process, start, &pipes, err)) {
        process_free(process);
        return NULL;
    }
    process_add(process, start);
    if (start->timeout_ms > 0) {
        timer_arm(&process->deadline, start->timeout_ms);
    }
    return process;
}
