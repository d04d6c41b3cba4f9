/* common/contracts/quota.h: what sandboxes may use, what a user has in use, and how the API shows
 * both. */
#ifndef COMMON_CONTRACTS_QUOTA_H
#define COMMON_CONTRACTS_QUOTA_H

#include "common/base/id.h"
#include "common/json/read.h"
#include "common/json/write.h"

enum {
    /* The least that a request may ask for. */
    LIMIT_MEMORY_MB_MIN = 16,
    LIMIT_CPU_MILLI_MIN = 10,
    LIMIT_PIDS_MIN = 16,
    LIMIT_DISK_MB_MIN = 16,
    /* The most that a tier may allow. */
    LIMIT_MEMORY_MB_MAX = 4 * 1024 * 1024,
    LIMIT_CPU_MILLI_MAX = 1024 * 1000,
    LIMIT_PIDS_MAX = 4 * 1024 * 1024, /* the kernel's own bound */
    LIMIT_DISK_MB_MAX = 1024 * 1024 * 1024,
};

/* Of one sandbox. */
struct resource_limits {
    int64_t memory_mb;
    int64_t cpu_milli;
    int64_t pids;
    int64_t disk_mb; /* 0: none; it began before there was one */
    int64_t lifetime_hours;
};
/* As an object of that name: memoryMB, cpu, cpuShares, pids, diskMB (null for none),
 * lifetimeHours. */
void resource_limits_write(struct json_writer *writer, const char *name,
                           const struct resource_limits *limits);
/* Thousandths as a number of processors: 1500 is 1.5. */
void cpu_write(struct json_writer *writer, const char *name, int64_t cpu_milli);
/* The other way; false when it is not from LIMIT_CPU_MILLI_MIN to LIMIT_CPU_MILLI_MAX. */
bool cpu_read(double cpu, int64_t *cpu_milli) MUST_CHECK;

/* quota.usage -> quota_usage. ERR_NOT_FOUND "user_not_found". */
#define QUOTA_USAGE "quota.usage"
struct quota_question {
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE]; /* empty: a session asks */
};
extern const struct json_schema quota_question_schema;

struct quota_usage {
    struct view tier;
    int64_t sandboxes; /* this and the next three: in use by those that count */
    int64_t memory_mb;
    int64_t cpu_milli;
    int64_t disk_mb;
    int64_t key_sandboxes; /* of the key that asks and those made by it */
    int64_t key_most;      /* 0: no limit of its own */
    int64_t most;          /* sandboxes of the tier; the rest is what each may have */
    int64_t each_memory_mb;
    int64_t each_cpu_milli;
    int64_t each_pids;
    int64_t each_disk_mb;
    int64_t each_lifetime_hours;
};
extern const struct json_schema quota_usage_schema;

#endif
