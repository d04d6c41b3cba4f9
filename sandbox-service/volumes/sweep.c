#include "sandbox-service/volumes/sweep.h"

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/volumes/store.h"

#include <stdlib.h>

enum {
    /* A disk without a row: the database is an older one, put back (strays.h). With the operator's
     * word it goes when nothing was written to it for so long. */
    STRAY_KEPT_S = 7 * 24 * 3600,
    FORGET_MAX = 64 * 1024, /* bytes of the ids of rows that go at a time */
};

struct disk_state {
    struct volume_here row;
    bool is_gone; /* its disk is; set on the worker */
};

/* A sweep asks for the rows, goes through the disks on the worker, and lets the rows go whose disks
 * are gone. */
struct volume_sweep {
    struct volume_sweep_options with;
    struct timer due;
    struct worker_job job;
    struct disk_state *states; /* owned; by id; the worker's while it runs */
    size_t count;
    bool running;
    bool again;
};

static void finish(struct volume_sweep *sweep)
{
    free(sweep->states);
    sweep->states = NULL;
    sweep->count = 0;
    sweep->running = false;
    timer_arm(&sweep->due, sweep->again ? 0 : sweep->with.interval_ms);
    sweep->again = false;
}

static void finish_failed(struct volume_sweep *sweep, const struct err *err)
{
    log_warn("volumes.not_swept", LOG_ERR(err));
    sweep->again = false;
    finish(sweep);
}

static int compare(const void *a, const void *b)
{
    const struct disk_state *left = a;
    const struct disk_state *right = b;
    return strcmp(left->row.id, right->row.id);
}

static struct disk_state *find(const struct volume_sweep *sweep, const char volume_id[ID_SIZE])
{
    struct disk_state wanted = {0};
    memcpy(wanted.row.id, volume_id, ID_SIZE);
    return sweep->count == 0
               ? NULL
               : bsearch(&wanted, sweep->states, sweep->count, sizeof *sweep->states, compare);
}

/* On the worker's thread, as the next two. */
static void sweep_disk(const char volume_id[ID_SIZE], int64_t idle_s, void *arg)
{
    const struct volume_sweep *sweep = arg;
    struct err err = {0};
    const struct disk_state *state = find(sweep, volume_id);
    bool ok = true;
    if (state == NULL && sweep->with.may_remove_strays && idle_s > STRAY_KEPT_S) {
        log_warn("volume.stray_removed", LOG_STR("volume_id", volume_id));
        ok = disk_remove(sweep->with.disks, volume_id, &err);
    } else if (state != NULL && state->row.is_attached) {
        /* A sandbox that rests on disk needs it again, and the machine may have started anew. */
        ok = disk_mount(sweep->with.disks, volume_id, 0, &err); /* its file is there */
    } else if (state != NULL && !state->row.is_deleting) {
        ok = disk_unmount(sweep->with.disks, volume_id, &err);
    }
    if (!ok && err.code != ERR_CONFLICT) { /* a container that is just being removed */
        log_error("volume.not_swept", LOG_STR("volume_id", volume_id), LOG_ERR(&err));
    }
}

static void remove_deleted(struct disk_state *state, const struct disks *disks)
{
    struct err err = {0};
    if (!state->row.is_deleting || state->row.is_attached) {
        return;
    }
    state->is_gone = disk_remove(disks, state->row.id, &err);
    CRASH_POINT("volume_removal.after_file");
    if (!state->is_gone && err.code != ERR_CONFLICT) {
        log_error("volume.not_removed", LOG_STR("volume_id", state->row.id), LOG_ERR(&err));
    }
}

static void sweep_disks(struct worker_job *job)
{
    struct volume_sweep *sweep = LIST_ENTRY(job, struct volume_sweep, job);
    struct err err = {0};
    for (size_t i = 0; i < sweep->count; i++) {
        remove_deleted(&sweep->states[i], sweep->with.disks);
    }
    if (!disks_each(sweep->with.disks, sweep_disk, sweep, &err)) {
        log_error("volumes.not_swept", LOG_ERR(&err));
    }
}

static void on_forgotten(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    if (err != NULL) {
        finish_failed(arg, err);
    } else {
        finish(arg);
    }
}

static size_t write_gone(const struct volume_sweep *sweep, struct str *out)
{
    size_t gone = 0;
    str_append_char(out, '{');
    for (size_t i = 0; i < sweep->count && out->len + ID_SIZE + 1 < FORGET_MAX; i++) {
        if (sweep->states[i].is_gone) {
            str_append_string(out, gone == 0 ? "" : ",");
            str_append_string(out, sweep->states[i].row.id);
            gone++;
        }
    }
    str_append_char(out, '}');
    return gone;
}

static void on_disks_swept(struct worker_job *job)
{
    struct volume_sweep *sweep = LIST_ENTRY(job, struct volume_sweep, job);
    struct err err = {0};
    AUTO(str_free) struct str ids = STR_INIT(FORGET_MAX);
    if (write_gone(sweep, &ids) == 0) {
        finish(sweep);
    } else if (!str_check(&ids, "the deleted volumes", &err) ||
               !volume_store_forget(sweep->with.store, ids.data, on_forgotten, sweep, &err)) {
        finish_failed(sweep, &err);
    }
}

/* What is held now counts as attached: what is held later is mounted behind this sweep. */
static bool read_rows(struct volume_sweep *sweep, const PGresult *result, struct err *err)
{
    size_t rows = (size_t)pg_rows(result);
    sweep->states = rows == 0 ? NULL : calloc(rows, sizeof *sweep->states);
    if (rows > 0 && sweep->states == NULL) {
        return err_set(err, ERR_INTERNAL, "volumes: out of memory");
    }
    for (sweep->count = 0; sweep->count < rows; sweep->count++) {
        struct volume_here *row = &sweep->states[sweep->count].row;
        if (!volume_store_read_here(result, (int)sweep->count, row, err)) {
            return false;
        }
        row->is_attached = row->is_attached || sweep->with.is_held(row->id, sweep->with.arg);
    }
    if (rows > 0) {
        qsort(sweep->states, rows, sizeof *sweep->states, compare);
    }
    return true;
}

static void on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct volume_sweep *sweep = arg;
    struct err failure = {0};
    struct worker_pool *worker = sweep->with.worker(sweep->with.arg);
    sweep->job = (struct worker_job){.run = sweep_disks, .done = on_disks_swept};
    if (err != NULL) {
        finish_failed(sweep, err);
    } else if (worker == NULL) {
        err_set(&failure, ERR_UNAVAILABLE, "volumes: shutting down");
        finish_failed(sweep, &failure);
    } else if (!read_rows(sweep, result, &failure) ||
               !worker_submit(worker, &sweep->job, &failure)) {
        finish_failed(sweep, &failure);
    }
}

static void begin(void *arg)
{
    struct volume_sweep *sweep = arg;
    struct err err = {0};
    sweep->running = true;
    if (!volume_store_here(sweep->with.store, on_rows, sweep, &err)) {
        finish_failed(sweep, &err);
    }
}

struct volume_sweep *volume_sweep_open(const struct volume_sweep_options *options, struct err *err)
{
    struct volume_sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL) {
        err_set(err, ERR_INTERNAL, "volumes: out of memory");
        return NULL;
    }
    sweep->with = *options;
    if (!timer_open(&sweep->due, options->loop, begin, sweep, err)) {
        volume_sweep_close(sweep);
        return NULL;
    }
    return sweep;
}

void volume_sweep_soon(struct volume_sweep *sweep)
{
    if (sweep->running) {
        sweep->again = true;
    } else {
        timer_arm(&sweep->due, 0);
    }
}

void volume_sweep_close(struct volume_sweep *sweep)
{
    if (sweep != NULL) {
        timer_close(&sweep->due);
        free(sweep->states);
        free(sweep);
    }
}
