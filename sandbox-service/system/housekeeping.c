#include "sandbox-service/system/housekeeping.h"

#include "common/base/log.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/system/store.h"

#include <stdlib.h>

enum {
    FIRST_MS = 30 * 1000, /* starting has other work */
    ROUND_MS = 3600 * 1000,
    BATCH_GAP_MS = 1000,
    BATCH = 500, /* rows, with all that hangs on them */
};

struct housekeeping {
    struct sandboxes *sandboxes; /* borrowed */
    struct timer due;
    struct store_call call;
    int64_t forgotten; /* in this round */
};

static void on_forgotten(const PGresult *result, const struct err *err, void *arg)
{
    struct housekeeping *housekeeping = arg;
    int64_t forgotten = err == NULL ? store_read_forgotten(result) : 0;
    housekeeping->forgotten += forgotten;
    if (err != NULL) {
        log_warn("housekeeping.failed", LOG_ERR(err));
    } else if (forgotten == BATCH) {
        timer_arm(&housekeeping->due, BATCH_GAP_MS);
        return;
    }
    if (housekeeping->forgotten > 0) {
        log_info("housekeeping.forgotten", LOG_INT("sandboxes", housekeeping->forgotten));
    }
    housekeeping->forgotten = 0;
    timer_arm(&housekeeping->due, ROUND_MS);
}

static void on_due(void *arg)
{
    struct housekeeping *housekeeping = arg;
    const struct sandboxes *sandboxes = housekeeping->sandboxes;
    if (!sandboxes->draining) {
        store_forget(sandboxes->store, &housekeeping->call, sandboxes->config, BATCH, on_forgotten,
                     housekeeping);
    }
}

struct housekeeping *housekeeping_open(struct sandboxes *sandboxes, struct err *err)
{
    struct housekeeping *housekeeping = calloc(1, sizeof *housekeeping);
    if (housekeeping == NULL) {
        err_set(err, ERR_INTERNAL, "housekeeping: out of memory");
        return NULL;
    }
    housekeeping->sandboxes = sandboxes;
    if (!timer_open(&housekeeping->due, sandboxes->loop, on_due, housekeeping, err)) {
        free(housekeeping);
        return NULL;
    }
    if (sandboxes->config->sandbox_keep_days > 0) {
        timer_arm(&housekeeping->due, FIRST_MS);
    }
    return housekeeping;
}

void housekeeping_close(struct housekeeping *housekeeping)
{
    if (housekeeping != NULL) {
        timer_close(&housekeeping->due);
        free(housekeeping);
    }
}
