/* sandbox-service/agent/traffic.h: what went through the sandbox's network since it started. */
#ifndef SANDBOX_AGENT_TRAFFIC_H
#define SANDBOX_AGENT_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

/* Of all its interfaces together but the one to itself. */
struct traffic {
    int64_t received_bytes;
    int64_t sent_bytes;
};

/* False when it can't be known. */
bool traffic_read(struct traffic *out);

/* The same from the text of /proc/net/dev (NUL-terminated). */
bool traffic_parse(const char *text, struct traffic *out);

#endif
