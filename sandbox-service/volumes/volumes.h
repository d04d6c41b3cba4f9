/* sandbox-service/volumes/volumes.h: answers the calls of common/contracts/volumes.h, and keeps
 * this machine's disks as the rows say.
 *
 * What becomes of a volume: its row is made; the first sandbox that attaches it brings its disk
 * into being, on the machine of that sandbox; each one that starts gets it mounted
 * (volumes/hold.h); when nothing has it attached it is taken off, and when it is deleted the disk
 * goes, and then the row (volumes/sweep.h). All that touches disks runs on one thread, one thing
 * after the other. */
#ifndef SANDBOX_VOLUMES_VOLUMES_H
#define SANDBOX_VOLUMES_VOLUMES_H

#include "common/ipc/server.h"
#include "sandbox-service/volumes/disk.h"

struct audit_writer;
struct volume_hold;
struct volume_store;
struct volumes;
struct worker_pool;

struct volumes_options {
    struct loop *loop;        /* borrowed, as all but the URL */
    const char *database_url; /* until volumes_open returns */
    const char *instance;
    const char *node;
    const char *limits; /* tiers_write */
    const char *folder; /* of disks */
    int64_t reserve_mb; /* struct disks */
    int64_t sweep_interval_ms;
    bool may_remove_strays; /* volume_sweep_options */
    struct audit_writer *audit;
};

struct volumes *volumes_open(const struct volumes_options *options, struct err *err) MUST_CHECK;
/* The engine is there, and whom it makes root of containers is known: sweeps from here on. */
void volumes_engine_came(struct volumes *volumes, uid_t root_uid, gid_t root_gid);
/* Ends what is in flight, the disk that is just being worked on at its end; later calls fail.
 * Returns whether it may have answered anybody. */
bool volumes_fail_all(struct volumes *volumes);
/* After volumes_fail_all; NULL is fine. */
void volumes_close(struct volumes *volumes);
/* How many calls are being served. */
size_t volumes_open_requests(const struct volumes *volumes);

/* Some sandbox has ended, and what it had attached may be free. NULL is fine. */
void volumes_sweep_soon(struct volumes *volumes);

/* For volumes/hold.c and strays.c; the worker is NULL when it is shutting down. */
const struct disks *volumes_disks(const struct volumes *volumes);
struct volume_store *volumes_store(const struct volumes *volumes);
struct worker_pool *volumes_worker(const struct volumes *volumes);
void volumes_note_hold(struct volumes *volumes, struct volume_hold *hold);

/* Answer the exchange in every case, now or later. */
void volumes_handle_create(struct volumes *volumes, struct ipc_exchange *exchange,
                           const struct ipc_request *message);
void volumes_handle_list(struct volumes *volumes, struct ipc_exchange *exchange,
                         const struct ipc_request *message);
void volumes_handle_delete(struct volumes *volumes, struct ipc_exchange *exchange,
                           const struct ipc_request *message);

#endif
