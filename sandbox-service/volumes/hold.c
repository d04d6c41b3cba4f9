#include "sandbox-service/volumes/hold.h"

#include "sandbox-service/volumes/volumes.h"

enum { SIZE_DIGITS_MAX = 9 };

static bool read_size(struct view text, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return text.len >= 1 && text.len <= SIZE_DIGITS_MAX;
}

static bool read_line(struct volume_hold *hold, const struct disks *disks, struct view line)
{
    size_t at = hold->count;
    bool ok = at < VOLUMES_PER_SANDBOX_MAX && id_parse(view_cut(&line, ' '), hold->items[at].id) &&
              read_size(view_cut(&line, ' '), &hold->items[at].size_mb);
    struct view mode = view_cut(&line, ' ');
    if (!ok || !view_copy(line, hold->items[at].target, sizeof hold->items[at].target)) {
        return false;
    }
    disk_data_path(disks, hold->items[at].id, hold->items[at].source);
    hold->mounts[at] = (struct container_mount){.source = hold->items[at].source,
                                                .target = hold->items[at].target,
                                                .read_only = view_equal(mode, VIEW("ro"))};
    hold->count++;
    return true;
}

bool volume_hold_read(struct volume_hold *hold, const struct disks *disks, struct view lines,
                      struct err *err)
{
    hold->count = 0;
    while (lines.len > 0) {
        if (!read_line(hold, disks, view_cut(&lines, '\n'))) {
            return err_set(err, ERR_INTERNAL, "a sandbox's volumes can't be read");
        }
    }
    return true;
}

int64_t volume_hold_largest_mb(const struct volume_hold *hold)
{
    int64_t largest_mb = 0;
    for (size_t i = 0; i < hold->count; i++) {
        if (!hold->mounts[i].read_only && hold->items[i].size_mb > largest_mb) {
            largest_mb = hold->items[i].size_mb;
        }
    }
    return largest_mb;
}

/* On the worker's thread. What is mounted already stays so: a sweep takes it off. */
static void mount_all(struct worker_job *job)
{
    struct volume_hold *hold = LIST_ENTRY(job, struct volume_hold, job);
    for (size_t i = 0; i < hold->count; i++) {
        if (!disk_mount(hold->disks, hold->items[i].id, hold->items[i].size_mb, &hold->err)) {
            return;
        }
    }
}

static void on_mounted(struct worker_job *job)
{
    struct volume_hold *hold = LIST_ENTRY(job, struct volume_hold, job);
    hold->done(hold->err.code == ERR_NONE ? NULL : &hold->err, hold->arg);
}

bool volume_hold_begin(struct volumes *volumes, struct volume_hold *hold, volume_held_fn *done,
                       void *arg, struct err *err)
{
    struct worker_pool *worker = volumes_worker(volumes);
    if (worker == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "volumes: shutting down");
    }
    hold->done = done;
    hold->arg = arg;
    hold->err = (struct err){0};
    hold->job = (struct worker_job){.run = mount_all, .done = on_mounted};
    hold->disks = volumes_disks(volumes);
    if (!worker_submit(worker, &hold->job, err)) {
        return false;
    }
    hold->volumes = volumes;
    volumes_note_hold(volumes, hold);
    return true;
}

void volume_hold_end(struct volume_hold *hold)
{
    if (hold->volumes != NULL) {
        list_remove(&hold->node);
        hold->volumes = NULL;
    }
}
