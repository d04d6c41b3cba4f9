#include "sandbox-service/agent/process_table.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

void processes_hold(struct processes *processes, bool held)
{
    processes->held = held;
    while (!processes->held && !list_is_empty(&processes->ready)) {
        struct list *node = processes->ready.next;
        list_remove(node);
        list_append(&processes->live, node);
        process_finish(LIST_ENTRY(node, struct process, node));
    }
}

/* Most that end here were never started here: the orphans of the whole container. */
static void on_end(const struct reap_end *end, void *arg)
{
    struct processes *all = arg;
    for (LIST_EACH(node, &all->live)) {
        struct process *process = LIST_ENTRY(node, struct process, node);
        if (process->running && !process->fed && process->pid == end->pid) {
            process_end(process, end);
            return;
        }
    }
}

struct processes *processes_new(struct loop *loop, struct err *err)
{
    struct processes *all = calloc(1, sizeof *all);
    if (all == NULL) {
        err_set(err, ERR_INTERNAL, "processes: out of memory");
        return NULL;
    }
    all->loop = loop;
    all->null_fd = -1;
    list_init(&all->live);
    list_init(&all->ready);
    list_init(&all->kept);
    list_init(&all->drains);
    spool_pool_init(&all->spools);
    oom_open(&all->oom);
    all->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (all->null_fd < 0) {
        err_set(err, ERR_INTERNAL, "/dev/null: errno %d", errno);
        goto fail;
    }
    if (!timer_open(&all->expiry, loop, process_on_expiry, all, err) ||
        !timer_open(&all->retry, loop, process_on_retry, all, err)) {
        goto fail;
    }
    if (!spawner_open(&all->spawner, err) || !reaper_open(&all->reaper, loop, on_end, all, err)) {
        goto fail;
    }
    return all;
fail:
    processes_free(all);
    return NULL;
}

void processes_watch_running(struct processes *processes, process_running_fn *on_running, void *arg)
{
    processes->on_running = on_running;
    processes->on_running_arg = arg;
}

size_t processes_running(const struct processes *processes)
{
    return processes->running_count;
}

static void tell_running(const struct processes *all)
{
    if (all->on_running != NULL) {
        all->on_running(all->running_count, all->on_running_arg);
    }
}

void process_count_in(struct process *process)
{
    process->counted = true;
    process->all->running_count++;
    tell_running(process->all);
}

void process_count_out(struct process *process)
{
    if (process->counted) {
        process->counted = false;
        process->all->running_count--;
        tell_running(process->all);
    }
}

static void free_all(struct list *list)
{
    while (!list_is_empty(list)) {
        struct process *process = LIST_ENTRY(list->next, struct process, node);
        if (process->running && !process->fed) {
            (void)kill(-process->pid, SIGKILL);
        }
        process_free(process);
    }
}

void processes_free(struct processes *processes)
{
    if (processes == NULL) {
        return;
    }
    processes->on_running = NULL;
    free_all(&processes->live);
    free_all(&processes->ready);
    free_all(&processes->kept);
    while (!list_is_empty(&processes->drains)) {
        process_free(LIST_ENTRY(processes->drains.next, struct process, drain_node));
    }
    timer_close(&processes->expiry);
    timer_close(&processes->retry);
    reaper_close(&processes->reaper);
    spawner_close(&processes->spawner);
    oom_close(&processes->oom);
    close_fd(&processes->null_fd);
    free(processes);
}
