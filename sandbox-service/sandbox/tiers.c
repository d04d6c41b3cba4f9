#include "sandbox-service/sandbox/tiers.h"

#include "common/json/write.h"

static const char *const names[] = {
    [TIER_FREE] = "free", [TIER_PRO] = "pro", [TIER_ENTERPRISE] = "enterprise"};

bool tier_find(struct view name, enum tier *out)
{
    for (int i = 0; i < TIER_COUNT; i++) {
        if (view_equal(name, view_of(names[i]))) {
            *out = (enum tier)i;
            return true;
        }
    }
    return false;
}

const char *tier_name(enum tier tier)
{
    return names[tier];
}

bool tiers_write(const struct tier_limits tiers[TIER_COUNT], struct str *out, struct err *err)
{
    struct json_writer json = json_writer_on(out);
    json_begin_object(&json, NULL);
    for (int i = 0; i < TIER_COUNT; i++) {
        json_begin_object(&json, names[i]);
        json_int(&json, "sandboxes", tiers[i].sandboxes);
        json_int(&json, "memoryMB", tiers[i].memory_mb);
        json_int(&json, "cpuMilli", tiers[i].cpu_milli);
        json_int(&json, "pids", tiers[i].pids);
        json_int(&json, "diskMB", tiers[i].disk_mb);
        json_int(&json, "lifetimeHours", tiers[i].lifetime_hours);
        json_int(&json, "volumes", tiers[i].volumes);
        json_int(&json, "volumeMB", tiers[i].volume_mb);
        json_int(&json, "snapshotMB", tiers[i].snapshot_mb);
        json_end_object(&json);
    }
    json_end_object(&json);
    return str_check(out, "tiers", err);
}

int64_t tier_cpu_shares(int64_t cpu_milli)
{
    int64_t shares = cpu_milli * 1024 / 1000;
    return shares < 2 ? 2 : shares; /* the kernel's least */
}

int64_t tier_open_files(int64_t pids, int64_t ceiling)
{
    enum { FILES_A_PROCESS = 64, LEAST = 4096 };
    int64_t files = pids * FILES_A_PROCESS;
    files = files < LEAST ? LEAST : files;
    return files < ceiling ? files : ceiling;
}

int64_t tier_file_bytes(int64_t disk_mb, int64_t volume_mb)
{
    enum { MB = 1024 * 1024 };
    int64_t largest_mb = disk_mb < volume_mb ? volume_mb : disk_mb;
    return disk_mb == 0 ? 0 : largest_mb * MB;
}
