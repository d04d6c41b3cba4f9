/* sandbox-service/agent/cgroup.h: what the whole sandbox uses, as its control group tells it: of
 * either version, seen from inside the container. Unlike what the processes themselves are counted
 * with, nothing that runs here can get away from it. */
#ifndef SANDBOX_AGENT_CGROUP_H
#define SANDBOX_AGENT_CGROUP_H

#include <stdint.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* -1 stands for what this kernel does not tell, and as a limit also for none. Times and counts are
 * since the container started. */
struct cgroup_usage {
    int64_t memory_bytes; /* without the file cache that may go at any time */
    int64_t memory_limit_bytes;
    int64_t memory_peak_bytes; /* with that cache */
    int64_t oom_kills;
    int64_t cpu_us;
    int64_t cpu_limit_milli;
    int64_t cpu_throttled_us; /* somebody wanted to run and had to wait for the limit */
    int64_t pids;
    int64_t pids_limit;
    int64_t pids_refused; /* forks that failed for the limit */
};

/* root: CGROUP_ROOT, but for tests. */
void cgroup_read(const char *root, struct cgroup_usage *out);

/* The member cpu_us alone. */
int64_t cgroup_cpu_us(const char *root);

#endif
