#include "sandbox-service/volumes/strays.h"

#include "common/base/log.h"
#include "common/event/worker.h"
#include "sandbox-service/volumes/store.h"
#include "sandbox-service/volumes/volumes.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DISKS_MAX = 64 * 1024, /* looked at */
    DISKS_AT_FIRST = 64,
    IDS_TEXT_MAX = DISKS_MAX * ID_SIZE + 8,
};

/* False when it will not run. */
static bool submit(struct volumes *volumes, struct worker_job *job, struct err *err)
{
    struct worker_pool *worker = volumes_worker(volumes);
    return worker != NULL ? worker_submit(worker, job, err)
                          : err_set(err, ERR_UNAVAILABLE, "volumes: shutting down");
}

/* The disks, on the worker, and then which of them the rows know: a disk that was there, and has no
 * row now, has none any more. */
struct strays_search {
    struct volumes *volumes; /* borrowed */
    struct worker_job job;
    char (*ids)[ID_SIZE]; /* owned; the worker's while the job runs, as the next three */
    size_t count;
    size_t room;
    struct err err;
    strays_found_fn *done;
    void *arg;
};

/* The only way out. */
static void finish(struct strays_search *search)
{
    bool failed = search->err.code != ERR_NONE;
    search->done(failed ? NULL : (const char(*)[ID_SIZE])search->ids, failed ? 0 : search->count,
                 failed ? &search->err : NULL, search->arg);
    free(search->ids);
    free(search);
}

static bool has_room(struct strays_search *search)
{
    if (search->count < search->room) {
        return true;
    }
    size_t wanted = search->room == 0 ? DISKS_AT_FIRST : 2 * search->room;
    void *grown = wanted > DISKS_MAX ? NULL : realloc(search->ids, wanted * ID_SIZE);
    if (grown == NULL) {
        return false;
    }
    search->ids = grown;
    search->room = wanted;
    return true;
}

/* On the worker's thread, as the next. What there is no room for is found another time. */
static void note(const char volume_id[ID_SIZE], int64_t idle_s, void *arg)
{
    struct strays_search *search = arg;
    (void)idle_s;
    if (has_room(search)) {
        memcpy(search->ids[search->count++], volume_id, ID_SIZE);
    }
}

static void list_disks(struct worker_job *job)
{
    struct strays_search *search = LIST_ENTRY(job, struct strays_search, job);
    if (!disks_each(volumes_disks(search->volumes), note, search, &search->err)) {
        search->count = 0;
    }
}

static void on_unknown(const PGresult *result, const struct err *err, void *arg)
{
    struct strays_search *search = arg;
    size_t listed = search->count;
    search->count = 0;
    if (err != NULL) {
        search->err = *err;
    }
    for (int row = 0; err == NULL && row < pg_rows(result) && search->count < listed; row++) {
        const char *id = volume_store_read_unknown(result, row);
        search->count += id_parse(view_of(id), search->ids[search->count]) ? 1 : 0;
    }
    finish(search);
}

static void write_ids(const struct strays_search *search, struct str *out)
{
    str_append_char(out, '{');
    for (size_t i = 0; i < search->count; i++) {
        str_append_string(out, i == 0 ? "" : ",");
        str_append_string(out, search->ids[i]);
    }
    str_append_char(out, '}');
}

static void on_listed(struct worker_job *job)
{
    struct strays_search *search = LIST_ENTRY(job, struct strays_search, job);
    AUTO(str_free) struct str ids = STR_INIT(IDS_TEXT_MAX);
    write_ids(search, &ids);
    if (search->err.code != ERR_NONE || search->count == 0 ||
        !str_check(&ids, "the disks", &search->err) ||
        !volume_store_unknown(volumes_store(search->volumes), ids.data, on_unknown, search,
                              &search->err)) {
        finish(search);
    }
}

bool strays_find(struct volumes *volumes, strays_found_fn *done, void *arg, struct err *err)
{
    struct strays_search *search = calloc(1, sizeof *search);
    if (search == NULL) {
        return err_set(err, ERR_INTERNAL, "volumes: out of memory");
    }
    *search = (struct strays_search){
        .volumes = volumes,
        .job = {.run = list_disks, .done = on_listed},
        .done = done,
        .arg = arg,
    };
    if (!submit(volumes, &search->job, err)) {
        free(search);
        return false;
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the worker has it, as its job */
    return true;
}

struct stray_removal {
    struct volumes *volumes; /* borrowed */
    struct worker_job job;
    char id[ID_SIZE];
    bool is_gone; /* the worker's while the job runs, as the next */
    struct err err;
    stray_removed_fn *done;
    void *arg;
};

/* The only way out. */
static void finish_removal(struct stray_removal *removal)
{
    if (removal->is_gone) {
        log_warn("volume.stray_removed", LOG_STR("volume_id", removal->id));
    }
    removal->done(removal->is_gone ? NULL : &removal->err, removal->arg);
    free(removal);
}

/* On the worker's thread. */
static void remove_disk(struct worker_job *job)
{
    struct stray_removal *removal = LIST_ENTRY(job, struct stray_removal, job);
    removal->is_gone = disk_remove(volumes_disks(removal->volumes), removal->id, &removal->err);
}

static void on_removed(struct worker_job *job)
{
    finish_removal(LIST_ENTRY(job, struct stray_removal, job));
}

static void on_still_unknown(const PGresult *result, const struct err *err, void *arg)
{
    struct stray_removal *removal = arg;
    if (err != NULL) {
        removal->err = *err;
    } else if (pg_rows(result) == 0) {
        err_set(&removal->err, ERR_CONFLICT, "the volume has a row again");
    } else if (submit(removal->volumes, &removal->job, &removal->err)) {
        return;
    }
    finish_removal(removal);
}

bool stray_remove(struct volumes *volumes, const char volume_id[ID_SIZE], stray_removed_fn *done,
                  void *arg, struct err *err)
{
    char ids[ID_SIZE + 2];
    struct stray_removal *removal = calloc(1, sizeof *removal);
    if (removal == NULL) {
        return err_set(err, ERR_INTERNAL, "volumes: out of memory");
    }
    *removal = (struct stray_removal){
        .volumes = volumes,
        .job = {.run = remove_disk, .done = on_removed},
        .done = done,
        .arg = arg,
    };
    memcpy(removal->id, volume_id, ID_SIZE);
    (void)snprintf(ids, sizeof ids, "{%s}", removal->id);
    if (!volume_store_unknown(volumes_store(volumes), ids, on_still_unknown, removal, err)) {
        free(removal);
        return false;
    }
    return true;
}
