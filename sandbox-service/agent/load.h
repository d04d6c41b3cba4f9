/* sandbox-service/agent/load.h: how much of the processor the sandbox takes just now: the newest
 * reading against an earlier one, whoever asked for that. */
#ifndef SANDBOX_AGENT_LOAD_H
#define SANDBOX_AGENT_LOAD_H

#include <stdint.h>

enum {
    LOAD_LEAST_US = 500 * 1000,      /* between two readings that are compared */
    LOAD_MOST_US = 30 * 1000 * 1000, /* beyond, it is no "just now" any more */
};

struct load_reading {
    int64_t at_us; /* monotonic; 0: there is none */
    int64_t cpu_us;
};

/* Zero to begin with. */
struct load {
    struct load_reading older;
    struct load_reading newer; /* at least LOAD_LEAST_US later */
};

/* Thousandths of one processor; -1 while there is nothing to compare with. cpu_us -1: not known. */
int64_t load_take(struct load *load, int64_t now_us, int64_t cpu_us);

#endif
