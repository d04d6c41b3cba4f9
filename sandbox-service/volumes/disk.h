/* sandbox-service/volumes/disk.h: the disks behind volumes. All of it blocks: for worker threads.
 *
 * A disk is a sparse file of the volume's size with an ext4 file system, mounted by a loop device
 * while sandboxes use it: the one way to a hard limit that needs nothing of the host's own file
 * system, nor of the engine's storage driver. Below the folder of disks lie, for each volume,
 *
 *     <id32>.img   the file; it appears whole, under this name, or not at all
 *     <id32>/      where it is mounted; in it "data", which is what sandboxes see
 *
 * Sandboxes get a bind mount of <id32>/data: without its disk the folder is empty, so that the
 * engine refuses what would else write to the host. The loop device frees itself with the last
 * mount (autoclear). The mount has to be seen by the engine: a service in a container of its own
 * needs the folder mounted as rshared, and /dev/loop-control. */
#ifndef SANDBOX_VOLUMES_DISK_H
#define SANDBOX_VOLUMES_DISK_H

#include "common/base/err.h"
#include "common/base/id.h"

#include <stdint.h>
#include <sys/types.h>

enum { DISK_PATH_SIZE = 320 };

struct disks {
    const char *folder; /* borrowed; absolute */
    int64_t reserve_mb; /* of the host's file system, that no volume is given */
    uid_t root_uid;     /* of the containers' root, outside; set when the engine is known */
    gid_t root_gid;
};

/* Makes the folder. */
bool disks_open(const struct disks *disks, struct err *err) MUST_CHECK;

/* What a sandbox is given. */
void disk_data_path(const struct disks *disks, const char volume_id[ID_SIZE],
                    char out[DISK_PATH_SIZE]);

/* Makes the disk if there is none, and mounts it if it is not. One that is there keeps its size.
 * ERR_UNAVAILABLE "volumes_unavailable" where this host can't, "disk_full" when there is no room
 * for it beside what the others may grow by. */
bool disk_mount(const struct disks *disks, const char volume_id[ID_SIZE], int64_t size_mb,
                struct err *err) MUST_CHECK;
/* Takes it off; one that is not mounted, or not there, is off already. ERR_CONFLICT "volume_in_use"
 * while somebody has files of it open. What a container has it keeps. */
bool disk_unmount(const struct disks *disks, const char volume_id[ID_SIZE],
                  struct err *err) MUST_CHECK;
/* Unmounts and removes it; again: the same. */
bool disk_remove(const struct disks *disks, const char volume_id[ID_SIZE],
                 struct err *err) MUST_CHECK;

typedef void disk_visit_fn(const char volume_id[ID_SIZE], int64_t idle_s, void *arg);
/* Each volume that has a file, and for how long nothing was written to it; visit may remove it.
 * Cleans up what a process left half made, which is why no disk may be being made. */
bool disks_each(const struct disks *disks, disk_visit_fn *visit, void *arg,
                struct err *err) MUST_CHECK;

#endif
