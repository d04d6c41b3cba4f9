/* sandbox-service/agent/usage.h: what one process uses, as /proc tells it. */
#ifndef SANDBOX_AGENT_USAGE_H
#define SANDBOX_AGENT_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct usage {
    int64_t cpu_ms;       /* of its threads, not of its children */
    int64_t memory_bytes; /* resident */
};

/* False when it can't be known. */
bool usage_read(pid_t pid, struct usage *out);

/* The same from the text of /proc/PID/stat (NUL-terminated); page_bytes and ticks_per_s are those
 * of the machine. */
bool usage_parse(const char *stat_text, int64_t page_bytes, int64_t ticks_per_s, struct usage *out);

#endif
