#include "sandbox-service/agent/process_fed.h"

#include "common/base/clock.h"
#include "sandbox-service/agent/process_table.h"

struct process *process_fed_begin(struct processes *processes, const struct process_start *start,
                                  const struct process_feed *feed, struct err *err)
{
    if (!process_check_bounds(processes, start, err)) {
        return NULL;
    }
    struct process *process = process_new(processes, start, err);
    if (process == NULL) {
        return NULL;
    }
    process->fed = true;
    process->feed = *feed;
    process->pid = feed->pid;
    process_add(process, start);
    return process;
}

void process_fed_start(struct process *process, pid_t pid)
{
    process->pid = pid;
    process->begun = true;
    process->started_us = clock_monotonic_us();
    process->started_wall_ms = clock_wall_ms();
}

char *process_fed_reserve(struct process *process, enum process_output kind, size_t *room)
{
    char *bytes = spool_reserve(&process->spool, kind, room);
    process->feed_paused = bytes == NULL;
    if (process->feed_paused) {
        process_await_memory(process);
    }
    return bytes;
}

void process_fed_commit(struct process *process, enum process_output kind, char *bytes, size_t len)
{
    if (len > 0) {
        process_take_output(&process->outputs[kind], bytes, len);
    }
}

void process_fed_finish(struct process *process, const struct process_exit *exit)
{
    process->running = false;
    process_count_out(process);
    process->feed = (struct process_feed){.pid = process->pid};
    process->feed_paused = false;
    process->ended_us = clock_monotonic_us();
    process->exit = *exit;
    process->exit.duration_ms = (process->ended_us - process->started_us) / 1000;
    process_finish(process);
}

void process_fed_cancel(struct process *process, const char *code)
{
    process->feed.on_room = NULL;
    process->failure = code;
    process_tell_readers(process);
    process_free(process);
}

bool process_is_fed(const struct process *process)
{
    return process->fed;
}

static bool runs_in(const struct process *process, pid_t pid)
{
    return process->fed && process->begun && process->pid == pid;
}

struct process *process_fed_find(struct processes *processes, pid_t pid, struct err *err)
{
    struct list *const lists[] = {&processes->live, &processes->ready, &processes->kept};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (struct list *node = lists[i]->previous; node != lists[i]; node = node->previous) {
            struct process *process = LIST_ENTRY(node, struct process, node);
            if (runs_in(process, pid)) {
                return process;
            }
        }
    }
    err_set_reason(err, ERR_NOT_FOUND, "process_not_found", "There is no such process.");
    return NULL;
}
