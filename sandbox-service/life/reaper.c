#include "sandbox-service/life/reaper.h"

#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/life/store.h"
#include "sandbox-service/sandbox/destroy.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

enum {
    AFTER_FAILURE_MS = 1000,
    HURRY_MS = 20,  /* many creates in a row are one look */
    AGAIN_MS = 100, /* what is due but was being changed */
};

/* A look: users first when there are news of them or it is time, then what is due next. If that is
 * now: ends, pauses, announcements, and what is due next again. */
struct reaper {
    struct sandboxes *sandboxes; /* borrowed */
    struct timer due;            /* armed while nothing is asked */
    struct store_call rows;
    int64_t users_looked_ms; /* monotonic */
    bool users_hurry;
    bool hurry;    /* somebody called since the look began: the next one is HURRY_MS off */
    bool did_some; /* in this look */
};

static void ask_next(struct reaper *reaper);

static void rest(struct reaper *reaper, int64_t delay_ms)
{
    int64_t longest_ms = reaper->hurry || reaper->users_hurry ? HURRY_MS : REAPER_LOOK_MS;
    timer_arm(&reaper->due, delay_ms < longest_ms ? delay_ms : longest_ms);
}

/* False when there are rows. */
static bool failed(struct reaper *reaper, const struct err *err)
{
    if (err == NULL) {
        return false;
    }
    log_debug("reaper.failed", LOG_ERR(err));
    reaper->hurry = false;
    timer_arm(&reaper->due, AFTER_FAILURE_MS);
    return true;
}

static void clear_away(struct reaper *reaper, const PGresult *result)
{
    for (int row = 0; row < pg_rows(result); row++) {
        CRASH_POINT("timeout.after_end");
        log_info("sandbox.expired", LOG_STR("sandbox_id", store_read_id(result, row)),
                 LOG_STR("reason", life_read_reason(result, row)));
        sandbox_clear_away(reaper->sandboxes, store_read_id(result, row), &trace_none);
        reaper->did_some = true;
    }
}

static void on_warned(const PGresult *result, const struct err *err, void *arg)
{
    struct reaper *reaper = arg;
    if (failed(reaper, err)) {
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        sandboxes_publish(reaper->sandboxes, store_read_id(result, row));
        reaper->did_some = true;
    }
    if (!reaper->did_some) {
        rest(reaper, AGAIN_MS);
        return;
    }
    ask_next(reaper);
}

static void on_pausing(const PGresult *result, const struct err *err, void *arg)
{
    struct reaper *reaper = arg;
    struct sandboxes *sandboxes = reaper->sandboxes;
    if (failed(reaper, err)) {
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        struct shift_order freeze = {0};
        struct err failure = {0};
        const char *id = store_read_id(result, row);
        memcpy(freeze.user_id, life_read_due_owner(result, row), ID_SIZE);
        CRASH_POINT("timeout.after_pause");
        log_info("sandbox.rests", LOG_STR("sandbox_id", id),
                 LOG_STR("reason", life_read_reason(result, row)));
        if (!shift_begin(sandboxes->shifts, id, &freeze, &trace_none, NULL, &failure)) {
            log_warn("sandbox.shift_failed", LOG_STR("sandbox_id", id), LOG_ERR(&failure));
        }
        reaper->did_some = true;
    }
    life_store_warn_due(sandboxes->store, &reaper->rows, sandboxes->config->warn_before_s * 1000,
                        REAPER_AT_A_TIME, on_warned, reaper);
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct reaper *reaper = arg;
    if (failed(reaper, err)) {
        return;
    }
    clear_away(reaper, result);
    life_store_pause_due(reaper->sandboxes->store, &reaper->rows, REAPER_AT_A_TIME, on_pausing,
                         reaper);
}

static void on_next(const PGresult *result, const struct err *err, void *arg)
{
    struct reaper *reaper = arg;
    int64_t in_ms;
    if (failed(reaper, err)) {
        return;
    }
    if (!life_read_next(result, &in_ms)) {
        rest(reaper, REAPER_LOOK_MS);
    } else if (in_ms > 0) {
        rest(reaper, in_ms);
    } else {
        reaper->did_some = false;
        life_store_end_due(reaper->sandboxes->store, &reaper->rows, REAPER_AT_A_TIME, on_ended,
                           reaper);
    }
}

static void ask_next(struct reaper *reaper)
{
    life_store_next(reaper->sandboxes->store, &reaper->rows,
                    reaper->sandboxes->config->warn_before_s * 1000, on_next, reaper);
}

static void on_unserved(const PGresult *result, const struct err *err, void *arg)
{
    struct reaper *reaper = arg;
    if (failed(reaper, err)) {
        reaper->users_hurry = true;
        return;
    }
    clear_away(reaper, result);
    reaper->users_hurry = reaper->users_hurry || pg_rows(result) == REAPER_AT_A_TIME;
    ask_next(reaper);
}

static void on_due(void *arg)
{
    struct reaper *reaper = arg;
    int64_t now_ms = clock_monotonic_ms();
    if (reaper->sandboxes->draining) {
        return;
    }
    reaper->hurry = false;
    if (!reaper->users_hurry && now_ms - reaper->users_looked_ms < REAPER_LOOK_MS) {
        ask_next(reaper);
        return;
    }
    reaper->users_hurry = false;
    reaper->users_looked_ms = now_ms;
    life_store_end_unserved(reaper->sandboxes->store, &reaper->rows, REAPER_AT_A_TIME, on_unserved,
                            reaper);
}

void reaper_hurry(struct reaper *reaper)
{
    if (reaper == NULL) {
        return;
    }
    if (!timer_is_armed(&reaper->due)) {
        reaper->hurry = true;
    } else if (!reaper->hurry) {
        reaper->hurry = true; /* the timer that was set by the first of many stays */
        timer_arm(&reaper->due, HURRY_MS);
    }
}

void reaper_hurry_user(struct reaper *reaper)
{
    reaper->users_hurry = true;
    reaper_hurry(reaper);
}

struct reaper *reaper_open(struct sandboxes *sandboxes, struct err *err)
{
    struct reaper *reaper = calloc(1, sizeof *reaper);
    if (reaper == NULL) {
        err_set(err, ERR_INTERNAL, "reaper: out of memory");
        return NULL;
    }
    reaper->sandboxes = sandboxes;
    reaper->users_hurry = true;
    if (!timer_open(&reaper->due, sandboxes->loop, on_due, reaper, err)) {
        free(reaper);
        return NULL;
    }
    timer_arm(&reaper->due, 0);
    return reaper;
}

void reaper_close(struct reaper *reaper)
{
    if (reaper != NULL) {
        timer_close(&reaper->due);
        free(reaper);
    }
}
