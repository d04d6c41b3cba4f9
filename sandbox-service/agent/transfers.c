#include "sandbox-service/agent/transfers.h"

#include "common/event/worker.h"

#include <assert.h>
#include <stdlib.h>

struct transfers *transfers_new(struct chores *chores, struct streams *streams, struct err *err)
{
    struct transfers *transfers = calloc(1, sizeof *transfers);
    if (transfers == NULL) {
        err_set(err, ERR_INTERNAL, "transfers: out of memory");
        return NULL;
    }
    transfers->chores = chores;
    transfers->streams = streams;
    return transfers;
}

void transfers_free(struct transfers *transfers)
{
    if (transfers == NULL) {
        return;
    }
    transfers->closing = true;
    if (transfers->pool != NULL) {
        worker_pool_free(transfers->pool);
    }
    free(transfers);
}

bool transfers_enter(struct transfers *transfers, struct err *err)
{
    if (transfers->count >= TRANSFERS_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "%d transfers are under way", TRANSFERS_MAX);
    }
    transfers->count++;
    return true;
}

void transfers_leave(struct transfers *transfers)
{
    assert(transfers->count > 0);
    transfers->count--;
}
