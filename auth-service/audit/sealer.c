#include "auth-service/audit/sealer.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>

enum {
    INTERVAL_MS = 1000,
    SEAL_TIMEOUT_MS = 10 * 1000,
    ANCHOR_INTERVAL_MS = 60 * 1000,
};

struct audit_sealer {
    struct pg_pool *pg; /* borrowed */
    struct timer timer;
    struct audit_seals_made last; /* that this process made; its seq is 0: none */
    int64_t anchored_seq;         /* of what the log has */
    int64_t anchored_ms;          /* monotonic */
    bool complained;              /* the log knows that sealing fails */
};

static void log_anchor(struct audit_sealer *sealer)
{
    const struct audit_seals_made *last = &sealer->last;
    if (last->seq > sealer->anchored_seq) {
        log_info("audit.anchor", LOG_INT("seq", last->seq), LOG_STR("hash", last->hash));
        sealer->anchored_seq = last->seq;
        sealer->anchored_ms = clock_monotonic_ms();
    }
}

static void on_sealed(const PGresult *result, const struct err *err, void *arg)
{
    struct audit_sealer *sealer = arg;
    struct audit_seals_made made = {0};
    if (err != NULL && !sealer->complained) {
        log_warn("audit.not_sealed", LOG_ERR(err));
    }
    sealer->complained = err != NULL;
    if (err == NULL) {
        audit_store_read_seals(result, &made);
    }
    if (made.count > 0) {
        sealer->last = made;
    }
    if (sealer->anchored_seq == 0 ||
        clock_monotonic_ms() - sealer->anchored_ms >= ANCHOR_INTERVAL_MS) {
        log_anchor(sealer);
    }
    timer_arm(&sealer->timer, made.count == AUDIT_SEAL_BATCH_MAX ? 0 : INTERVAL_MS);
}

static void on_timer(void *arg)
{
    struct audit_sealer *sealer = arg;
    struct err err;
    if (!audit_store_seal(sealer->pg, SEAL_TIMEOUT_MS, on_sealed, sealer, &err)) {
        on_sealed(NULL, &err, sealer);
    }
}

struct audit_sealer *audit_sealer_open(struct loop *loop, struct pg_pool *pg, struct err *err)
{
    struct audit_sealer *sealer = calloc(1, sizeof *sealer);
    if (sealer == NULL) {
        err_set(err, ERR_INTERNAL, "audit: out of memory");
        return NULL;
    }
    sealer->pg = pg;
    if (!timer_open(&sealer->timer, loop, on_timer, sealer, err)) {
        free(sealer);
        return NULL;
    }
    timer_arm(&sealer->timer, 0);
    return sealer;
}

void audit_sealer_close(struct audit_sealer *sealer)
{
    if (sealer == NULL) {
        return;
    }
    log_anchor(sealer);
    timer_close(&sealer->timer);
    free(sealer);
}
