#include "sandbox-service/network/recovery.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/network/flush.h"
#include "sandbox-service/network/network.h"

#include <stdlib.h>

enum {
    ADOPTION_RETRY_MS = 2000,
    RESUMED_AT_A_TIME = 8,
    FLUSHED_AT_A_TIME = 8,
    FLUSH_INTERVAL_MS = 30000, /* of one sandbox, at the least */
};

struct recovery {
    struct recovery_options options;
    struct timer retry; /* of an adoption */
    bool adopting;
    bool resuming; /* the rows are asked for */
};

/* One sandbox on its way back. */
struct adoption {
    struct egress_call call;
    char sandbox_id[ID_SIZE];
};
struct resumption {
    struct map_node changing; /* linked for its life */
    struct map *map;          /* borrowed */
    struct network_change change;
    char sandbox_id[ID_SIZE];
};

static struct egress *egress_of(const struct recovery *recovery)
{
    return restricted_egress(recovery->options.parts->restricted);
}

static void on_adopted(const struct err *err, void *arg)
{
    struct adoption *adoption = arg;
    if (err != NULL) { /* it is known: with the table's next beginning it is in force */
        log_warn("network.not_adopted", LOG_STR("sandbox_id", adoption->sandbox_id), LOG_ERR(err));
    }
    free(adoption);
}

static void adopt(struct recovery *recovery, const struct network_unit *row)
{
    struct err err = {0};
    uint32_t address = 0;
    struct policy *policy = policy_read_text(row->allow, &err);
    struct adoption *adoption = policy == NULL ? NULL : calloc(1, sizeof *adoption);
    if (adoption == NULL || !address_parse(view_of(row->address), &address)) {
        log_error("network.not_adopted", LOG_STR("sandbox_id", row->sandbox_id), LOG_ERR(&err));
        free(adoption);
        free(policy);
        return;
    }
    memcpy(adoption->sandbox_id, row->sandbox_id, ID_SIZE);
    if (!egress_admit(egress_of(recovery), &adoption->call, row->sandbox_id, address, policy,
                      EGRESS_ADOPTED, on_adopted, adoption, &err)) {
        on_adopted(&err, adoption);
    }
}

static void on_restricted(const PGresult *result, const struct err *err, void *arg)
{
    struct recovery *recovery = arg;
    recovery->adopting = false;
    if (err != NULL) {
        timer_arm(&recovery->retry, ADOPTION_RETRY_MS);
        return;
    }
    for (int row = 0; row < pg_rows(result) && egress_of(recovery) != NULL; row++) {
        struct network_unit unit;
        network_store_read_unit(result, row, &unit);
        /* One that is being changed has the newer rules already, or gets them. */
        if (egress_box_of(egress_of(recovery), unit.sandbox_id) == NULL &&
            map_find(recovery->options.changing, view_of(unit.sandbox_id)) == NULL) {
            adopt(recovery, &unit);
        }
    }
    if (egress_of(recovery) != NULL) {
        egress_sweep(egress_of(recovery));
    }
    recovery_refresh(recovery);
}

void recovery_adopt(struct recovery *recovery)
{
    struct err err = {0};
    if (recovery->adopting) {
        return;
    }
    recovery->adopting =
        network_store_restricted(recovery->options.parts->store, on_restricted, recovery, &err);
    if (!recovery->adopting) {
        timer_arm(&recovery->retry, ADOPTION_RETRY_MS);
    }
}

static void on_retry(void *arg)
{
    recovery_adopt(arg);
}

static void on_resumed(const struct err *err, void *arg)
{
    struct resumption *resumption = arg;
    if (err != NULL) {
        log_warn("network.not_resumed", LOG_STR("sandbox_id", resumption->sandbox_id),
                 LOG_ERR(err));
    } else {
        log_info("network.resumed", LOG_STR("sandbox_id", resumption->sandbox_id),
                 LOG_STR("network", resumption->change.wanted));
    }
    map_remove(resumption->map, &resumption->changing);
    free(resumption);
}

/* What is not to be had stays left. */
static bool is_possible(const struct recovery *recovery, const char *wanted)
{
    return strcmp(wanted, "open") == 0 ? network_is_open(recovery->options.network)
           : strcmp(wanted, "restricted") == 0
               ? restricted_is_available(recovery->options.parts->restricted)
               : true;
}

static void resume(struct recovery *recovery, const struct network_unit *row)
{
    struct err err = {0};
    struct map *changing = recovery->options.changing;
    if (!is_possible(recovery, row->wanted) ||
        map_find(changing, view_of(row->sandbox_id)) != NULL) {
        return;
    }
    struct policy *policy = policy_read_text(row->allow, &err);
    struct resumption *resumption = policy == NULL ? NULL : calloc(1, sizeof *resumption);
    if (resumption == NULL) {
        log_error("network.not_resumed", LOG_STR("sandbox_id", row->sandbox_id), LOG_ERR(&err));
        free(policy);
        return;
    }
    resumption->map = changing;
    memcpy(resumption->sandbox_id, row->sandbox_id, ID_SIZE);
    map_insert(changing, &resumption->changing, view_of(resumption->sandbox_id));
    network_change_resume(&resumption->change, recovery->options.parts, row, policy, on_resumed,
                          resumption);
}

static void on_unsettled(const PGresult *result, const struct err *err, void *arg)
{
    struct recovery *recovery = arg;
    recovery->resuming = false;
    for (int row = 0; err == NULL && row < pg_rows(result) && row < RESUMED_AT_A_TIME; row++) {
        struct network_unit unit;
        network_store_read_unit(result, row, &unit);
        resume(recovery, &unit);
    }
}

/* Whose turn it is. */
static void flush_oldest(struct recovery *recovery)
{
    struct err err = {0};
    struct egress *egress = egress_of(recovery);
    int64_t before_ms = clock_monotonic_ms() - FLUSH_INTERVAL_MS;
    for (int i = 0; egress != NULL && i < FLUSHED_AT_A_TIME; i++) {
        struct egress_box *box = egress_box_oldest(egress);
        if (box == NULL || box->flushed_ms > before_ms ||
            !flush_begin(egress, recovery->options.parts->store, box, NULL, NULL, &err)) {
            return;
        }
    }
}

void recovery_refresh(struct recovery *recovery)
{
    struct err err = {0};
    flush_oldest(recovery);
    if (!recovery->resuming && !recovery->adopting) {
        recovery->resuming =
            network_store_unsettled(recovery->options.parts->store, on_unsettled, recovery, &err);
    }
}

struct recovery *recovery_open(const struct recovery_options *options, struct err *err)
{
    struct recovery *recovery = calloc(1, sizeof *recovery);
    if (recovery == NULL) {
        err_set(err, ERR_INTERNAL, "networks: out of memory");
        return NULL;
    }
    recovery->options = *options;
    if (!timer_open(&recovery->retry, options->loop, on_retry, recovery, err)) {
        recovery_close(recovery);
        return NULL;
    }
    return recovery;
}

void recovery_close(struct recovery *recovery)
{
    if (recovery != NULL) {
        timer_close(&recovery->retry);
        free(recovery);
    }
}
