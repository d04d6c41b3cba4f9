#include "common/contracts/agent_stats.h"

#define FIELDS static const struct json_field
/* A sum or a bound: never below zero. */
#define NUMBER(type_, member_, has_, name_)                                                        \
    JSON_INT(type_, member_, name_, JSON_PRESENT(type_, has_), .min = 0, .max = -1,                \
             .nullable = true)

FIELDS stats_fields[] = {
    JSON_STRING(struct agent_stats, id, "id"),
    JSON_STRING(struct agent_stats, type, "type"),
};
const struct json_schema agent_stats_schema = {stats_fields,
                                               sizeof stats_fields / sizeof stats_fields[0], false};

FIELDS memory_fields[] = {
    NUMBER(struct agent_memory, bytes, has_bytes, "bytes"),
    NUMBER(struct agent_memory, limit_bytes, has_limit, "limitBytes"),
    NUMBER(struct agent_memory, peak_bytes, has_peak, "peakBytes"),
    NUMBER(struct agent_memory, oom_kills, has_oom_kills, "oomKills"),
};
FIELDS cpu_fields[] = {
    NUMBER(struct agent_cpu, us, has_us, "us"),
    NUMBER(struct agent_cpu, now_milli, has_now, "nowMilli"),
    NUMBER(struct agent_cpu, limit_milli, has_limit, "limitMilli"),
    NUMBER(struct agent_cpu, throttled_us, has_throttled, "throttledUs"),
};
FIELDS pids_fields[] = {
    NUMBER(struct agent_pids, count, has_count, "count"),
    NUMBER(struct agent_pids, limit, has_limit, "limit"),
    NUMBER(struct agent_pids, refused, has_refused, "refused"),
};
FIELDS network_fields[] = {
    NUMBER(struct agent_network, received_bytes, has_received, "receivedBytes"),
    NUMBER(struct agent_network, sent_bytes, has_sent, "sentBytes"),
};
FIELDS disk_fields[] = {
    NUMBER(struct agent_disk, bytes, has_bytes, "bytes"),
    NUMBER(struct agent_disk, limit_bytes, has_limit, "limitBytes"),
};
FIELDS usage_fields[] = {
    NUMBER(struct agent_usage, at_ms, has_at, "atMs"),
    JSON_STRUCT(struct agent_usage, memory, "memory", memory_fields),
    JSON_STRUCT(struct agent_usage, cpu, "cpu", cpu_fields),
    JSON_STRUCT(struct agent_usage, pids, "pids", pids_fields),
    JSON_STRUCT(struct agent_usage, network, "network", network_fields),
    JSON_STRUCT(struct agent_usage, disk, "disk", disk_fields),
};
const struct json_schema agent_usage_schema = {usage_fields,
                                               sizeof usage_fields / sizeof usage_fields[0], false};
