/* sandbox-service/sandbox/tiers.h: what each tier of user may have. */
#ifndef SANDBOX_SANDBOX_TIERS_H
#define SANDBOX_SANDBOX_TIERS_H

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdint.h>

enum tier { TIER_FREE, TIER_PRO, TIER_ENTERPRISE, TIER_COUNT };

struct tier_limits {
    int64_t sandboxes; /* alive at a time, a user */
    int64_t memory_mb; /* this and the rest: of one sandbox */
    int64_t cpu_milli;
    int64_t pids;
    int64_t disk_mb;
    int64_t lifetime_hours;
    int64_t volumes;     /* of a user */
    int64_t volume_mb;   /* of all of them together */
    int64_t snapshot_mb; /* what snapshots add to the disk, together */
};

/* False: there is no tier of that name. */
bool tier_find(struct view name, enum tier *out) MUST_CHECK;

const char *tier_name(enum tier tier);

/* All tiers as the JSON object that the SQL function sandbox_begin reads. */
bool tiers_write(const struct tier_limits tiers[TIER_COUNT], struct str *out,
                 struct err *err) MUST_CHECK;

/* The engine's relative weight for so much CPU: 1024 for one. */
int64_t tier_cpu_shares(int64_t cpu_milli);
/* How many files one process may have open, by the number of processes; at most ceiling. */
int64_t tier_open_files(int64_t pids, int64_t ceiling);
/* How large one file may become, by the limit of the disk (0: there is none, and so no bound) and
 * the largest volume. It holds also for what no disk limit counts: files that have lost their name,
 * and those of the engine that a container sees as its own (/etc/hosts). */
int64_t tier_file_bytes(int64_t disk_mb, int64_t volume_mb);

#endif
