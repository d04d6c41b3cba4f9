/* sandbox-service/agent/watchdog.h: ends a child that keeps the agent waiting.
 *
 * The agent sleeps from a child's birth to its execve, and a tenant may stop that child in between
 * (it may signal what runs as itself, and tenant root anything) or keep its execve waiting for a
 * file lease. So a second thread, which does nothing else, kills a child that takes too long. */
#ifndef SANDBOX_AGENT_WATCHDOG_H
#define SANDBOX_AGENT_WATCHDOG_H

#include "common/base/err.h"

#include <pthread.h>
#include <sys/types.h>

enum { WATCHDOG_LIMIT_MS = 2000 };

/* Stays where it was opened. */
struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    int timer_fd;
    bool is_open;
    bool stopping;        /* under lock */
    bool has_killed;      /* under lock */
    volatile pid_t child; /* 0: none; the kernel fills it in, under lock otherwise */
};

bool watchdog_open(struct watchdog *watchdog, struct err *err) MUST_CHECK;
/* Accepts one that was never opened (zero). */
void watchdog_close(struct watchdog *watchdog);

/* Around a clone that writes the child's id to watchdog->child (CLONE_PARENT_SETTID). */
void watchdog_begin(struct watchdog *watchdog);
/* Whether the child had to be killed. */
bool watchdog_end(struct watchdog *watchdog);

#endif
