#include "sandbox-service/sandbox/disk.h"

#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/sandbox/end.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/store.h"

#include <stdlib.h>

enum {
    GAP_LEAST_MS = 50, /* the engine has other work */
    MB = 1024 * 1024,
    ROUNDS_TOLD = 6, /* so long what was measured is told; a round of many takes its time */
};

struct limited {
    char sandbox_id[ID_SIZE];
    int64_t limit_mb;
};

/* Round after round: the rows are read, then one after the other is measured. */
struct disk_watch {
    struct sandboxes *sandboxes; /* borrowed */
    struct timer due;
    struct store_call rows;
    struct container_call container;
    struct limited *todo; /* owned; of this round */
    size_t count;
    size_t next;
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

static void on_measured(const struct wire_container *container, const struct err *err, void *arg)
{
    struct disk_watch *watch = arg;
    const struct limited *limited = &watch->todo[watch->next++];
    int64_t round_s = watch->sandboxes->config->disk_check_s;
    if (err == NULL && container != NULL) {
        sandboxes_tell_disk(watch->sandboxes, limited->sandbox_id, container->written_bytes,
                            ROUNDS_TOLD * round_s);
    }
    if (err != NULL) {
        log_warn("disk.not_measured", LOG_STR("sandbox_id", limited->sandbox_id), LOG_ERR(err));
    } else if (container != NULL && container->written_bytes / MB > limited->limit_mb) {
        log_info("sandbox.over_disk", LOG_STR("sandbox_id", limited->sandbox_id),
                 LOG_INT("limit_mb", limited->limit_mb),
                 LOG_INT("written_mb", container->written_bytes / MB));
        sandbox_end(watch->sandboxes, limited->sandbox_id, "disk", NULL, NULL);
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

static void on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct disk_watch *watch = arg;
    size_t rows = err == NULL ? (size_t)pg_rows(result) : 0;
    forget_round(watch);
    if (rows > 0) {
        watch->todo = calloc(rows, sizeof *watch->todo);
    }
    if (err != NULL) {
        log_warn("disk.not_looked_up", LOG_ERR(err));
    } else if (rows > 0 && watch->todo == NULL) {
        log_error("disk.not_looked_up", LOG_STR("error", "out of memory"));
    }
    for (size_t row = 0; watch->todo != NULL && row < rows; row++) {
        struct limited *limited = &watch->todo[watch->count];
        if (id_parse(view_of(store_read_id(result, (int)row)), limited->sandbox_id)) {
            limited->limit_mb = store_read_disk_mb(result, (int)row);
            watch->count++;
        }
    }
    wait(watch);
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
        store_disk_limits(sandboxes->store, &watch->rows, on_rows, watch);
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
