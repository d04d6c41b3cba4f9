/* sandbox-service/agent/transfers.h: what upload.c and download.c share; for these two. */
#ifndef SANDBOX_AGENT_TRANSFERS_H
#define SANDBOX_AGENT_TRANSFERS_H

#include "sandbox-service/agent/chore.h"
#include "sandbox-service/agent/stream.h"
#include "sandbox-service/agent/transfer.h"

struct worker_pool;

struct transfers {
    struct chores *chores;    /* borrowed */
    struct streams *streams;  /* borrowed */
    size_t count;             /* at most TRANSFERS_MAX */
    struct worker_pool *pool; /* owned; one thread for what waits for the disk, NULL before */
    bool closing;
};

/* One more, or ERR_LIMIT "busy". */
bool transfers_enter(struct transfers *transfers, struct err *err) MUST_CHECK;
void transfers_leave(struct transfers *transfers);

#endif
