#include "sandbox-service/system/housekeeping.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/system/cleanup.h"
#include "sandbox-service/system/store.h"

#include <stdlib.h>

enum {
    FIRST_MS = 10 * 1000, /* starting has other work */
    ROUND_MS = 3600 * 1000,
    BATCH_GAP_MS = 1000,
    AGAIN_MS = 5 * 1000, /* after a failure; twice as long after the next */
    FAILURES_MAX = 6,    /* of a chore in a row; then the next round has another try */
    BATCH = 500,         /* rows, with all that hangs on them */
    CLEANUP_MS = 60 * 1000,
};

/* A round is these, in this order; of rows batch by batch. */
enum chore { CHORE_SANDBOXES, CHORE_PERSONAL, CHORE_IMAGES, CHORE_COUNT };

struct housekeeping {
    struct sandboxes *sandboxes; /* borrowed */
    struct timer due;
    struct store_call call;
    enum chore chore;  /* the next */
    int64_t forgotten; /* by it, in this round */
    int failures;      /* of it, in a row */
};

static void do_next(struct housekeeping *housekeeping);

static void finish_chore(struct housekeeping *housekeeping)
{
    static const char *const told[CHORE_COUNT] = {
        "housekeeping.sandboxes_forgotten",
        "housekeeping.personal_forgotten",
        "housekeeping.images_removed",
    };
    if (housekeeping->forgotten > 0) {
        log_info(told[housekeeping->chore], LOG_INT("count", housekeeping->forgotten));
    }
    housekeeping->forgotten = 0;
    housekeeping->failures = 0;
    housekeeping->chore = (housekeeping->chore + 1) % CHORE_COUNT;
    if (housekeeping->chore == CHORE_SANDBOXES) {
        timer_arm(&housekeeping->due, ROUND_MS);
    } else {
        do_next(housekeeping);
    }
}

/* The same again soon, unless that has been of no use so often. */
static void try_again(struct housekeeping *housekeeping)
{
    if (housekeeping->failures == FAILURES_MAX) {
        finish_chore(housekeeping);
        return;
    }
    timer_arm(&housekeeping->due, (int64_t)AGAIN_MS << housekeeping->failures);
    housekeeping->failures++;
}

static void on_forgotten(const PGresult *result, const struct err *err, void *arg)
{
    struct housekeeping *housekeeping = arg;
    if (err != NULL) {
        log_warn("housekeeping.failed", LOG_ERR(err));
        try_again(housekeeping);
        return;
    }
    int64_t forgotten = store_read_forgotten(result);
    housekeeping->forgotten += forgotten;
    housekeeping->failures = 0;
    if (forgotten == BATCH) {
        timer_arm(&housekeeping->due, BATCH_GAP_MS);
    } else {
        finish_chore(housekeeping);
    }
}

static void on_cleaned(const struct leftover_list *leftovers, const struct err *err, void *arg)
{
    struct housekeeping *housekeeping = arg;
    if (err != NULL) {
        log_warn("housekeeping.failed", LOG_ERR(err));
        try_again(housekeeping);
        return;
    }
    for (size_t i = 0; i < leftovers->count; i++) {
        const struct leftover *leftover = &leftovers->items[i];
        if (leftover->removed) {
            log_info("housekeeping.removed", LOG_STR("name", leftover->name));
            housekeeping->forgotten++;
        }
    }
    finish_chore(housekeeping);
}

static void clean_engine(struct housekeeping *housekeeping)
{
    struct err err = {0};
    const struct cleanup_options options = {.sandboxes = housekeeping->sandboxes,
                                            .of_engine = true,
                                            .until_ms = clock_monotonic_ms() + CLEANUP_MS,
                                            .done = on_cleaned,
                                            .arg = housekeeping};
    if (!cleanup_begin(&options, &err)) {
        log_info("housekeeping.later", LOG_ERR(&err));
        try_again(housekeeping);
    }
}

static bool is_wanted(const struct housekeeping *housekeeping)
{
    const struct sandbox_config *config = housekeeping->sandboxes->config;
    const int64_t days[CHORE_COUNT] = {config->sandbox_keep_days, config->personal_keep_days,
                                       config->image_keep_days};
    return days[housekeeping->chore] > 0;
}

static void do_next(struct housekeeping *housekeeping)
{
    const struct sandboxes *sandboxes = housekeeping->sandboxes;
    if (!is_wanted(housekeeping)) {
        finish_chore(housekeeping);
    } else if (housekeeping->chore == CHORE_IMAGES) {
        clean_engine(housekeeping);
    } else if (housekeeping->chore == CHORE_PERSONAL) {
        store_forget_personal(sandboxes->store, &housekeeping->call, sandboxes->config, BATCH,
                              on_forgotten, housekeeping);
    } else {
        store_forget(sandboxes->store, &housekeeping->call, sandboxes->config, BATCH, on_forgotten,
                     housekeeping);
    }
}

static void on_due(void *arg)
{
    struct housekeeping *housekeeping = arg;
    if (!housekeeping->sandboxes->draining) {
        do_next(housekeeping);
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
    timer_arm(&housekeeping->due, FIRST_MS);
    return housekeeping;
}

void housekeeping_close(struct housekeeping *housekeeping)
{
    if (housekeeping != NULL) {
        timer_close(&housekeeping->due);
        free(housekeeping);
    }
}
