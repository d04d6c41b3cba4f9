/* sandbox-service/volumes/hold.h: the volumes of one sandbox that starts, from their rows to where
 * the container sees them. */
#ifndef SANDBOX_VOLUMES_HOLD_H
#define SANDBOX_VOLUMES_HOLD_H

#include "common/base/list.h"
#include "common/contracts/volumes.h"
#include "common/event/worker.h"
#include "sandbox-service/docker/wire.h"
#include "sandbox-service/volumes/disk.h"

struct volumes;

/* err NULL: all are mounted. */
typedef void volume_held_fn(const struct err *err, void *arg);

/* Lies in the caller's creation; starts as zero. What it names is kept mounted from
 * volume_hold_begin to volume_hold_end. */
struct volume_hold {
    struct list node;
    struct volumes *volumes;   /* borrowed; NULL: nothing is held */
    const struct disks *disks; /* borrowed */
    struct worker_job job;
    struct {
        char id[ID_SIZE];
        int64_t size_mb;
        char source[DISK_PATH_SIZE];
        char target[VOLUME_PATH_MAX + 1];
    } items[VOLUMES_PER_SANDBOX_MAX];
    struct container_mount mounts[VOLUMES_PER_SANDBOX_MAX]; /* their strings are above */
    size_t count;
    struct err err;
    volume_held_fn *done;
    void *arg;
};

/* Reads the lines of the SQL function volumes_attach; mounts and count are good from here on. */
bool volume_hold_read(struct volume_hold *hold, const struct disks *disks, struct view lines,
                      struct err *err) MUST_CHECK;

/* In MB, of those that it read and that can be written to; 0: there is none. */
int64_t volume_hold_largest_mb(const struct volume_hold *hold);

/* Mounts what it read. done comes exactly once, later, on the loop; or false, and it does not come.
 */
bool volume_hold_begin(struct volumes *volumes, struct volume_hold *hold, volume_held_fn *done,
                       void *arg, struct err *err) MUST_CHECK;
/* The container runs, and holds them itself, or will never. Not while done is due. Does nothing to
 * one that was not begun. */
void volume_hold_end(struct volume_hold *hold);

#endif
