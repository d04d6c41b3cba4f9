#include "sandbox-service/sandbox/destroy.h"

#include "common/audit/act.h"
#include "common/base/log.h"
#include "sandbox-service/ports/ports.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/removal.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

enum { EXPIRY_INTERVAL_MS = 1000 };

struct expiry {
    struct sandboxes *sandboxes; /* borrowed */
    struct timer due;            /* armed while nobody is asked */
    struct store_call rows;
    bool hurry; /* there were news while somebody was asked */
};

void sandbox_clear_away(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                        const struct trace *trace)
{
    sandboxes_publish(sandboxes, sandbox_id);
    ports_forget(sandboxes->ports, sandbox_id);
    sandbox_create_abort(sandboxes, sandbox_id);
    sandbox_remove(sandboxes, sandbox_id, trace);
}

static void finish(struct sandbox_destruction *destruction, const struct err *err)
{
    audit_act_end_with(TAKE(destruction->act), destruction->sandbox_id, err);
    destruction->done(err, destruction->arg);
}

static void on_row(const PGresult *result, const struct err *err, void *arg)
{
    struct sandbox_destruction *destruction = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish(destruction, err);
        return;
    }
    if (pg_rows(result) == 0) {
        err_set_reason(&failure, ERR_NOT_FOUND, "sandbox_not_found", "there is no such sandbox");
        finish(destruction, &failure);
        return;
    }
    if (store_read_moved(result)) {
        sandbox_clear_away(destruction->sandboxes, destruction->sandbox_id, &destruction->trace);
    } else {
        audit_act_cancel(TAKE(destruction->act)); /* it had ended before */
    }
    finish(destruction, NULL);
}

static void begin(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                  const char sandbox_id[ID_SIZE], sandbox_destroyed_fn *done, void *arg)
{
    destruction->sandboxes = sandboxes;
    destruction->done = done;
    destruction->arg = arg;
    memcpy(destruction->sandbox_id, sandbox_id, ID_SIZE);
}

void sandbox_destroy(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                     const struct sandbox_destroy *request, sandbox_destroyed_fn *done, void *arg)
{
    begin(sandboxes, destruction, request->sandbox_id, done, arg);
    store_destroy(sandboxes->store, &destruction->row, request->sandbox_id, request->user_id,
                  on_row, destruction);
}

void sandbox_destroy_any(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                         const struct admin_destroy_sandbox *request, sandbox_destroyed_fn *done,
                         void *arg)
{
    begin(sandboxes, destruction, request->sandbox_id, done, arg);
    store_destroy_any(sandboxes->store, &destruction->row, request->sandbox_id, request->admin_id,
                      on_row, destruction);
}

static void on_expired(const PGresult *result, const struct err *err, void *arg)
{
    struct expiry *expiry = arg;
    timer_arm(&expiry->due, expiry->hurry ? 0 : EXPIRY_INTERVAL_MS);
    expiry->hurry = false;
    if (err != NULL) {
        log_debug("sandbox.expiry_failed", LOG_ERR(err));
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        log_info("sandbox.expired", LOG_STR("sandbox_id", store_read_id(result, row)),
                 LOG_STR("reason", store_read_expiry_reason(result, row)));
        sandbox_clear_away(expiry->sandboxes, store_read_id(result, row), &trace_none);
    }
}

static void on_due(void *arg)
{
    struct expiry *expiry = arg;
    store_expire(expiry->sandboxes->store, &expiry->rows, on_expired, expiry);
}

void expiry_hurry(struct expiry *expiry)
{
    if (timer_is_armed(&expiry->due)) {
        timer_arm(&expiry->due, 0);
    } else {
        expiry->hurry = true;
    }
}

struct expiry *expiry_open(struct sandboxes *sandboxes, struct err *err)
{
    struct expiry *expiry = calloc(1, sizeof *expiry);
    if (expiry == NULL) {
        err_set(err, ERR_INTERNAL, "expiry: out of memory");
        return NULL;
    }
    expiry->sandboxes = sandboxes;
    if (!timer_open(&expiry->due, sandboxes->loop, on_due, expiry, err)) {
        free(expiry);
        return NULL;
    }
    timer_arm(&expiry->due, EXPIRY_INTERVAL_MS);
    return expiry;
}

void expiry_close(struct expiry *expiry)
{
    if (expiry != NULL) {
        timer_close(&expiry->due);
        free(expiry);
    }
}
