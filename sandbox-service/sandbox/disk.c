#include "sandbox-service/sandbox/disk.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/sandbox/end.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/store.h"

#include <stdlib.h>

enum {
    GAP_LEAST_MS = 50, /* the engine has other work */
    MB = 1024 * 1024,
    ROUNDS_TOLD = 6,        /* so long what was measured is told; a round of many takes its time */
    OVERLAP_MS = 10 * 1000, /* what pauses while the rows are read is in the next round */
};

/* Round after round: the rows are read, then one after the other is measured. */
struct disk_watch {
    struct sandboxes *sandboxes; /* borrowed */
    struct timer due;
    struct store_call rows;
    struct container_call container;
    struct disk_limited *todo; /* owned; of this round */
    size_t count;
    size_t next;
    int64_t asked_ms;    /* for the rows, last */
    int64_t looked_ms;   /* asked_ms of the last rows that came; 0: when the machine began */
    int64_t measured_ms; /* when one was, last */
};

int64_t disk_watch_gap_ms(int64_t interval_ms, size_t count)
{
    int64_t gap_ms = count == 0 ? interval_ms : interval_ms / (int64_t)count;
    return gap_ms < GAP_LEAST_MS ? GAP_LEAST_MS : gap_ms;
}

static void wait(struct disk_watch *watch)
{
    int64_t interval_ms = watch->sandboxes->config->disk_check_s * 1000;
    timer_arm(&watch->due, disk_watch_gap_ms(interval_ms, watch->count));
}

bool disk_timed_out_for_good(struct disk_limited *limited, enum err_code code,
                             bool others_are_measured)
{
    if (code != ERR_TIMEOUT) {
        limited->timeouts = 0;
    } else if (others_are_measured) {
        limited->timeouts++;
    }
    return limited->timeouts >= DISK_TIMEOUTS_MAX;
}

/* Else the engine, or the disk of the machine, is what is slow. */
static bool others_are_measured(const struct disk_watch *watch, const struct disk_limited *limited)
{
    return docker_is_up(watch->sandboxes->docker) &&
           (watch->count == 1 || watch->measured_ms > limited->timed_out_ms);
}

static void note_not_measured(struct disk_watch *watch, struct disk_limited *limited,
                              const struct err *err)
{
    bool is_over = disk_timed_out_for_good(limited, err->code, others_are_measured(watch, limited));
    limited->timed_out_ms = clock_monotonic_ms();
    log_warn("disk.not_measured", LOG_STR("sandbox_id", limited->sandbox_id),
             LOG_INT("timeouts", limited->timeouts), LOG_ERR(err));
    if (is_over) {
        sandbox_end(watch->sandboxes, limited->sandbox_id, "disk", NULL, NULL);
    }
}

static void note_measured(struct disk_watch *watch, struct disk_limited *limited,
                          int64_t written_bytes)
{
    limited->timeouts = 0;
    watch->measured_ms = clock_monotonic_ms();
    sandboxes_tell_disk(watch->sandboxes, limited->sandbox_id, written_bytes,
                        ROUNDS_TOLD * watch->sandboxes->config->disk_check_s);
    if (written_bytes / MB > limited->limit_mb) {
        log_info("sandbox.over_disk", LOG_STR("sandbox_id", limited->sandbox_id),
                 LOG_INT("limit_mb", limited->limit_mb), LOG_INT("written_mb", written_bytes / MB));
        sandbox_end(watch->sandboxes, limited->sandbox_id, "disk", NULL, NULL);
    }
}

static void on_measured(const struct wire_container *container, const struct err *err, void *arg)
{
    struct disk_watch *watch = arg;
    struct disk_limited *limited = &watch->todo[watch->next++];
    if (err != NULL) {
        note_not_measured(watch, limited, err);
    } else if (container != NULL) {
        note_measured(watch, limited, container->written_bytes);
    }
    wait(watch);
}

static void measure(struct disk_watch *watch)
{
    char name[CONTAINER_NAME_SIZE];
    container_name(watch->todo[watch->next].sandbox_id, name);
    container_measure(watch->sandboxes->docker, &watch->container, name, on_measured, watch);
}

static void forget_round(struct disk_watch *watch)
{
    free(watch->todo);
    watch->todo = NULL;
    watch->count = 0;
    watch->next = 0;
}

void disk_carry_over(const struct disk_limited *before, size_t before_count,
                     struct disk_limited *now, size_t now_count)
{
    size_t at = 0;
    for (size_t i = 0; i < now_count; i++) {
        int order = -1;
        while (at < before_count &&
               (order = strcmp(before[at].sandbox_id, now[i].sandbox_id)) < 0) {
            at++;
        }
        if (order == 0) {
            now[i].timeouts = before[at].timeouts;
            now[i].timed_out_ms = before[at].timed_out_ms;
        }
    }
}

/* The rows in place of the round before. */
static bool begin_round(struct disk_watch *watch, const PGresult *result)
{
    size_t rows = (size_t)pg_rows(result);
    size_t count = 0;
    struct disk_limited *todo = calloc(rows + 1, sizeof *todo);
    if (todo == NULL) {
        return false;
    }
    for (size_t row = 0; row < rows; row++) {
        if (id_parse(view_of(store_read_id(result, (int)row)), todo[count].sandbox_id)) {
            todo[count++].limit_mb = store_read_disk_mb(result, (int)row);
        }
    }
    disk_carry_over(watch->todo, watch->count, todo, count);
    forget_round(watch);
    watch->todo = todo;
    watch->count = count;
    return true;
}

/* err NULL: out of memory. */
static void wait_whole(struct disk_watch *watch, const struct err *err)
{
    struct err failure = {0};
    err_set(&failure, ERR_INTERNAL, "disk watch: out of memory");
    log_warn("disk.not_looked_up", LOG_ERR(err == NULL ? &failure : err));
    timer_arm(&watch->due, watch->sandboxes->config->disk_check_s * 1000);
}

static void on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct disk_watch *watch = arg;
    if (err != NULL || !begin_round(watch, result)) {
        wait_whole(watch, err);
        return;
    }
    watch->looked_ms = watch->asked_ms;
    wait(watch);
}

static void look(struct disk_watch *watch)
{
    watch->asked_ms = clock_monotonic_ms();
    store_disk_limits(watch->sandboxes->store, &watch->rows,
                      watch->asked_ms - watch->looked_ms + OVERLAP_MS, on_rows, watch);
}

static void on_due(void *arg)
{
    struct disk_watch *watch = arg;
    const struct sandboxes *sandboxes = watch->sandboxes;
    if (sandboxes->draining) {
        return;
    }
    if (!sandboxes->engine_ready || sandboxes->abilities.limits_disk) {
        forget_round(watch);
        wait(watch);
    } else if (watch->next < watch->count) {
        measure(watch);
    } else {
        look(watch);
    }
}

struct disk_watch *disk_watch_open(struct sandboxes *sandboxes, struct err *err)
{
    struct disk_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        err_set(err, ERR_INTERNAL, "disk: out of memory");
        return NULL;
    }
    watch->sandboxes = sandboxes;
    if (!timer_open(&watch->due, sandboxes->loop, on_due, watch, err)) {
        free(watch);
        return NULL;
    }
    if (sandboxes->config->disk_check_s > 0) {
        wait(watch);
    }
    return watch;
}

void disk_watch_close(struct disk_watch *watch)
{
    if (watch != NULL) {
        timer_close(&watch->due);
        forget_round(watch);
        free(watch);
    }
}
