#include "sandbox-service/pool/claim.h"

#include "common/audit/act.h"
#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/pool/pool.h"
#include "sandbox-service/sandbox/creation.h"
#include "sandbox-service/sandbox/sandboxes.h"

enum { UPDATE_TIMEOUT_MS = 5000 };

static void finish(struct creation *creation)
{
    if (creation_has_ended(creation)) {
        creation_fail(creation);
        return;
    }
    log_info("sandbox.claimed", LOG_TRACE(&creation->trace),
             LOG_STR("sandbox_id", creation->sandbox_id),
             LOG_INT("duration_ms", clock_monotonic_ms() - creation->began_ms));
    audit_act_end_with(TAKE(creation->act), creation->sandbox_id, NULL);
    pool_claimed(creation->sandboxes->pool);
    creation_answer(creation, NULL);
    creation_release(creation);
}

static void on_updated(const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err == NULL || creation_has_ended(creation)) {
        CRASH_POINT("claim.after_update");
        finish(creation);
        return;
    }
    /* Another would do no better where the engine is away, or refuses what is asked. */
    bool is_dead = err->code == ERR_NOT_FOUND || err->code == ERR_CONFLICT;
    memcpy(creation->dead_id, creation->sandbox_id, ID_SIZE);
    creation->claims++;
    log_warn("sandbox.claim_failed", LOG_TRACE(&creation->trace),
             LOG_STR("sandbox_id", creation->sandbox_id), LOG_ERR(err));
    creation_again(creation, is_dead && creation->claims < CLAIMS_MAX ? creation->mode : "cold");
}

static bool update(struct creation *creation, container_acted_fn *done)
{
    int64_t left_ms = creation->until_ms - clock_monotonic_ms();
    int64_t timeout_ms = left_ms < UPDATE_TIMEOUT_MS ? left_ms : UPDATE_TIMEOUT_MS;
    return container_update(creation->sandboxes->docker, &creation->update, &creation->spec,
                            timeout_ms > 0 ? timeout_ms : 1, done, creation, &creation->err);
}

void claim_settle(struct creation *creation, bool limits_differ)
{
    CRASH_POINT("claim.after_row");
    if (!limits_differ) {
        finish(creation);
    } else if (!update(creation, on_updated)) {
        creation_fail(creation);
    }
}

static void on_updated_again(const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err != NULL) {
        err_set_reason(&creation->err, ERR_UNAVAILABLE, "docker_unavailable", "%s", err->message);
        creation_finish_failed(creation);
        return;
    }
    creation_answer(creation, NULL);
    creation_release(creation);
}

void claim_repeat(struct creation *creation, bool is_warm)
{
    if (!is_warm) {
        on_updated_again(NULL, creation);
    } else if (!update(creation, on_updated_again)) {
        creation_finish_failed(creation);
    }
}
