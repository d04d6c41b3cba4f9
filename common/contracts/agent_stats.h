/* common/contracts/agent_stats.h: the agent protocol, version 1: what the sandbox uses. */
#ifndef COMMON_CONTRACTS_AGENT_STATS_H
#define COMMON_CONTRACTS_AGENT_STATS_H

#include "common/json/read.h"

#include <stdint.h>

struct agent_stats {
    struct view id;
    struct view type;
};
extern const struct json_schema agent_stats_schema;

/* statsResponse. A number is there when has_ says so: the kernel does not tell all of them, and a
 * limit may be none. Sums are since the sandbox started. */
struct agent_memory {
    int64_t bytes; /* without file cache that may go */
    bool has_bytes;
    int64_t limit_bytes;
    bool has_limit;
    int64_t peak_bytes;
    bool has_peak;
    int64_t oom_kills;
    bool has_oom_kills;
};
struct agent_cpu {
    int64_t us;
    bool has_us;
    int64_t now_milli; /* thousandths of one processor, over the last seconds */
    bool has_now;
    int64_t limit_milli;
    bool has_limit;
    int64_t throttled_us;
    bool has_throttled;
};
struct agent_pids {
    int64_t count;
    bool has_count;
    int64_t limit;
    bool has_limit;
    int64_t refused; /* starts that failed for the limit */
    bool has_refused;
};
struct agent_network {
    int64_t received_bytes;
    bool has_received;
    int64_t sent_bytes;
    bool has_sent;
};
struct agent_disk {
    int64_t bytes; /* what was written over the image */
    bool has_bytes;
    int64_t limit_bytes;
    bool has_limit;
};
struct agent_usage {
    int64_t at_ms; /* since 1970 */
    bool has_at;
    struct agent_memory memory;
    struct agent_cpu cpu;
    struct agent_pids pids;
    struct agent_network network;
    struct agent_disk disk;
};
/* Unknown members are ignored: newer agents. Writes and reads. */
extern const struct json_schema agent_usage_schema;

#endif
