/* sandbox-service/volumes/sweep.h: brings this machine's disks to what the rows say: takes off what
 * nothing has attached, puts back what something has, removes what is deleted. */
#ifndef SANDBOX_VOLUMES_SWEEP_H
#define SANDBOX_VOLUMES_SWEEP_H

#include "common/event/worker.h"
#include "sandbox-service/volumes/disk.h"

struct volume_store;
struct volume_sweep;

struct volume_sweep_options {
    struct loop *loop; /* borrowed, as all */
    struct volume_store *store;
    const struct disks *disks;
    int64_t interval_ms;
    bool may_remove_strays; /* the operator's word; they are kept for some days all the same */
    /* Of one thread: what it was given before is done before. NULL: no more. */
    struct worker_pool *(*worker)(void *arg);
    /* Whether a sandbox that starts needs the volume, which nothing may have attached so far. */
    bool (*is_held)(const char volume_id[ID_SIZE], void *arg);
    void *arg;
};

/* Sweeps each interval from the first volume_sweep_soon on. */
struct volume_sweep *volume_sweep_open(const struct volume_sweep_options *options,
                                       struct err *err) MUST_CHECK;
/* Sweeps now, or again when it is just sweeping. */
void volume_sweep_soon(struct volume_sweep *sweep);
/* When store and worker have nothing of it in flight; NULL is fine. */
void volume_sweep_close(struct volume_sweep *sweep);

#endif
