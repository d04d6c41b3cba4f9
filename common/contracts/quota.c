#include "common/contracts/quota.h"

#include <inttypes.h>
#include <stdio.h>

enum { SHARES_PER_CPU = 1024, MILLI = 1000, NUMBER_SIZE = 40 };

void cpu_write(struct json_writer *writer, const char *name, int64_t cpu_milli)
{
    char number[NUMBER_SIZE];
    int length = snprintf(number, sizeof number, "%" PRId64 ".%03d", cpu_milli / MILLI,
                          (int)(cpu_milli % MILLI));
    while (length > 0 && number[length - 1] == '0') {
        number[--length] = '\0';
    }
    if (length > 0 && number[length - 1] == '.') {
        number[--length] = '\0';
    }
    json_raw(writer, name, view_of(number));
}

bool cpu_read(double cpu, int64_t *cpu_milli)
{
    if (!(cpu >= (double)LIMIT_CPU_MILLI_MIN / MILLI &&
          cpu <= (double)LIMIT_CPU_MILLI_MAX / MILLI)) {
        return false;
    }
    *cpu_milli = (int64_t)(cpu * MILLI + 0.5);
    return true;
}

void resource_limits_write(struct json_writer *writer, const char *name,
                           const struct resource_limits *limits)
{
    json_begin_object(writer, name);
    json_int(writer, "memoryMB", limits->memory_mb);
    cpu_write(writer, "cpu", limits->cpu_milli);
    json_int(writer, "cpuShares", limits->cpu_milli * SHARES_PER_CPU / MILLI);
    json_int(writer, "pids", limits->pids);
    if (limits->disk_mb == 0) {
        json_null(writer, "diskMB");
    } else {
        json_int(writer, "diskMB", limits->disk_mb);
    }
    json_int(writer, "lifetimeHours", limits->lifetime_hours);
    json_end_object(writer);
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}
#define COUNT(member, name) JSON_INT(struct quota_usage, member, name, .required = true)

FIELDS question_fields[] = {
    JSON_ID(struct quota_question, user_id, "userId", .required = true),
    JSON_ID(struct quota_question, api_key_id, "apiKeyId"),
};
SCHEMA(quota_question_schema, question_fields);

FIELDS usage_fields[] = {
    JSON_STRING(struct quota_usage, tier, "tier", .required = true),
    COUNT(sandboxes, "sandboxes"),
    COUNT(memory_mb, "memoryMB"),
    COUNT(cpu_milli, "cpuMilli"),
    COUNT(disk_mb, "diskMB"),
    COUNT(key_sandboxes, "keySandboxes"),
    COUNT(key_most, "keyMost"),
    COUNT(most, "most"),
    COUNT(each_memory_mb, "eachMemoryMB"),
    COUNT(each_cpu_milli, "eachCpuMilli"),
    COUNT(each_pids, "eachPids"),
    COUNT(each_disk_mb, "eachDiskMB"),
    COUNT(each_lifetime_hours, "eachLifetimeHours"),
};
SCHEMA(quota_usage_schema, usage_fields);
