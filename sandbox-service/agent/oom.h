/* sandbox-service/agent/oom.h: how often the kernel killed something here for want of memory. */
#ifndef SANDBOX_AGENT_OOM_H
#define SANDBOX_AGENT_OOM_H

#include <stdint.h>

struct oom_counter {
    int fd; /* owned; -1: the container shows no counter */
};

void oom_open(struct oom_counter *counter);
void oom_close(struct oom_counter *counter);

/* Only ever grows; 0 when it can't be known. */
int64_t oom_kills(const struct oom_counter *counter);

#endif
