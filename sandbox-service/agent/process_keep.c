#include "sandbox-service/agent/process_table.h"

#include "common/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>

static bool is_read(const struct process *process)
{
    return !list_is_empty(&process->spool.readers);
}

static int64_t age_ms(const struct process *process)
{
    return (clock_monotonic_us() - process->ended_us) / 1000;
}

static void await_expiry(struct processes *all)
{
    if (list_is_empty(&all->kept)) {
        timer_disarm(&all->expiry);
        return;
    }
    int64_t left_ms = PROCESS_KEPT_MS - age_ms(LIST_ENTRY(all->kept.next, struct process, node));
    /* An old one that is being read stays, and is looked at again later. */
    timer_arm(&all->expiry, left_ms > PROCESS_QUIET_MS ? left_ms : PROCESS_QUIET_MS);
}

/* What it left behind may still hold its output: then only that stays. */
static void let_go(struct process *process)
{
    if (!list_is_linked(&process->drain_node)) {
        process_free(process);
        return;
    }
    list_remove(&process->node);
    process->all->kept_count--;
    about_free(&process->about);
    spool_close(&process->spool);
}

/* Those that nobody is reading, from the oldest on. */
static void forget(struct processes *all)
{
    for (LIST_EACH(node, &all->kept)) {
        struct process *process = LIST_ENTRY(node, struct process, node);
        bool is_due = age_ms(process) >= PROCESS_KEPT_MS || all->kept_count > PROCESS_KEPT_MAX;
        if (!is_due) {
            return;
        }
        if (!is_read(process)) {
            let_go(process);
        }
    }
}

static void trim_spools(struct processes *all)
{
    size_t used = 0;
    for (LIST_EACH(node, &all->kept)) {
        const struct process *process = LIST_ENTRY(node, struct process, node);
        used += is_read(process) ? 0 : process->spool.used;
    }
    for (LIST_EACH(node, &all->kept)) {
        struct process *process = LIST_ENTRY(node, struct process, node);
        if (used <= PROCESS_KEPT_BYTES_MAX) {
            return;
        }
        if (!is_read(process)) {
            size_t before = process->spool.used;
            size_t over = used - PROCESS_KEPT_BYTES_MAX;
            spool_trim(&process->spool, over < before ? before - over : 0);
            used -= before - process->spool.used;
        }
    }
}

void process_keep_within_bounds(struct processes *all)
{
    forget(all);
    if (all->spools.used > PROCESS_KEPT_BYTES_MAX) {
        trim_spools(all);
    }
    await_expiry(all);
}

void process_on_expiry(void *arg)
{
    process_keep_within_bounds(arg);
}

void process_keep(struct process *process)
{
    struct processes *all = process->all;
    list_append(&all->kept, &process->node);
    all->kept_count++;
    process_keep_within_bounds(all);
}

static bool is_meant(const struct process *process, const struct agent_named *named)
{
    return named->has_pid ? process->pid == named->pid && !process->fed
                          : view_equal(process->about.tag, named->tag);
}

static struct process *find_newest(const struct list *list, const struct agent_named *named)
{
    for (struct list *node = list->previous; node != list; node = node->previous) {
        struct process *process = LIST_ENTRY(node, struct process, node);
        if (is_meant(process, named)) {
            return process;
        }
    }
    return NULL;
}

struct process *process_find(struct processes *processes, const struct agent_named *named,
                             struct err *err)
{
    const struct list *const lists[] = {&processes->live, &processes->ready, &processes->kept};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct process *process = find_newest(lists[i], named);
        if (process != NULL) {
            return process;
        }
    }
    err_set_reason(err, ERR_NOT_FOUND, "process_not_found", "There is no such process.");
    return NULL;
}

struct process *process_find_serial(struct processes *processes, uint64_t serial)
{
    const struct list *const lists[] = {&processes->live, &processes->ready, &processes->kept};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (LIST_EACH(node, lists[i])) {
            struct process *process = LIST_ENTRY(node, struct process, node);
            if (process->serial == serial) {
                return process;
            }
        }
    }
    return NULL;
}

void process_each(struct processes *processes, void (*visit)(struct process *process, void *arg),
                  void *arg)
{
    const struct list *const lists[] = {&processes->live, &processes->ready, &processes->kept};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (LIST_EACH(node, lists[i])) {
            visit(LIST_ENTRY(node, struct process, node), arg);
        }
    }
}

pid_t process_pid(const struct process *process)
{
    return process->pid;
}

uint64_t process_serial(const struct process *process)
{
    return process->serial;
}

const struct about *process_about(const struct process *process)
{
    return &process->about;
}

bool process_is_running(const struct process *process)
{
    return process->running;
}

bool process_has_terminal(const struct process *process)
{
    return process->terminal;
}

int64_t process_started_wall_ms(const struct process *process)
{
    return process->started_wall_ms;
}

const struct process_exit *process_exit_of(const struct process *process)
{
    return process->finished ? &process->exit : NULL;
}

const char *process_failure_of(const struct process *process)
{
    return process->failure;
}

const struct spool *process_spool(const struct process *process)
{
    return &process->spool;
}

size_t process_reader_count(const struct process *process)
{
    size_t count = 0;
    for (LIST_EACH(node, &process->spool.readers)) {
        count++;
    }
    return count;
}

static bool check_running(const struct process *process, struct err *err)
{
    return process->running ||
           err_set_reason(err, ERR_CONFLICT, "process_ended", "The process has ended.");
}

/* Its number is its own only until it is waited for. */
bool process_signal(struct process *process, int number, bool group, struct err *err)
{
    if (!check_running(process, err)) {
        return false;
    }
    return kill(group ? -process->pid : process->pid, number) == 0 ||
           err_set(err, ERR_INTERNAL, "kill: errno %d", errno);
}

bool process_resize(struct process *process, const struct agent_terminal *size, struct err *err)
{
    const struct winsize window = {.ws_col = (unsigned short)size->cols,
                                   .ws_row = (unsigned short)size->rows};
    if (!check_running(process, err)) {
        return false;
    }
    if (!process->terminal) {
        return err_set_reason(err, ERR_CONFLICT, "no_terminal", "The process has no terminal.");
    }
    return ioctl(process->outputs[PROCESS_STDOUT].fd, TIOCSWINSZ, &window) == 0 ||
           err_set(err, ERR_INTERNAL, "TIOCSWINSZ: errno %d", errno);
}

void process_reader_open(struct process_reader *reader, struct process *process,
                         const uint64_t from[PROCESS_OUTPUTS], void (*on_more)(void *arg),
                         void *arg)
{
    *reader = (struct process_reader){.process = process, .on_more = on_more, .arg = arg};
    spool_reader_open(&reader->spool, &process->spool, from);
}

/* The process itself may be forgotten by it. */
void process_reader_close(struct process_reader *reader)
{
    struct process *process = reader->process;
    if (process == NULL) {
        return;
    }
    reader->process = NULL;
    spool_reader_close(&reader->spool);
    if (!process->finished) {
        process_resume(process);
    } else if (list_is_linked(&process->node)) {
        process_keep_within_bounds(process->all);
    }
}

void process_reader_advance(struct process_reader *reader, unsigned kind, size_t len)
{
    spool_reader_advance(&reader->spool, kind, len);
    if (!reader->process->finished) {
        process_resume(reader->process);
    }
}
