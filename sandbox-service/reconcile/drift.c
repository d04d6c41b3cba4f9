#include "sandbox-service/reconcile/drift.h"

#include "common/base/log.h"
#include "sandbox-service/docker/wire.h"
#include "sandbox-service/network/change.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/reconcile/store.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

struct drift {
    struct sandboxes *sandboxes; /* borrowed */
    struct bulk_store *store;    /* borrowed */
    struct bulk_ids ids;         /* of those that drifted, in this run */
    bool is_under_way;           /* the rows are asked */
};

struct drift *drift_new(struct sandboxes *sandboxes, struct bulk_store *store, struct err *err)
{
    struct drift *drift = calloc(1, sizeof *drift);
    if (drift == NULL) {
        err_set(err, ERR_INTERNAL, "drift: out of memory");
        return NULL;
    }
    drift->sandboxes = sandboxes;
    drift->store = store;
    bulk_ids_begin(&drift->ids);
    return drift;
}

void drift_free(struct drift *drift)
{
    if (drift != NULL) {
        bulk_ids_free(&drift->ids);
        free(drift);
    }
}

void drift_begin(struct drift *drift)
{
    bulk_ids_free(&drift->ids);
    bulk_ids_begin(&drift->ids);
}

/* Whether a container is on that network exactly when its row says so. */
static bool agrees(const char *networks, const char *ours, bool is_wanted)
{
    return wire_list_has(networks, view_of(ours)) == is_wanted;
}

void drift_note(struct drift *drift, const char sandbox_id[ID_SIZE], const char *network,
                const char *networks)
{
    const struct sandboxes *sandboxes = drift->sandboxes;
    const struct change_parts *parts = networks_parts(sandboxes->networks);
    bool is_well =
        agrees(networks, network_name(sandboxes->network), strcmp(network, "open") == 0) &&
        agrees(networks, restricted_network(parts->restricted), strcmp(network, "restricted") == 0);
    if (!is_well && !bulk_ids_add(&drift->ids, sandbox_id)) {
        log_info("reconcile.drift_later", LOG_STR("sandbox_id", sandbox_id));
    }
}

static void on_unsettled(const PGresult *result, const struct err *err, void *arg)
{
    struct drift *drift = arg;
    drift->is_under_way = false;
    if (err != NULL) {
        log_info("reconcile.drift_stays", LOG_ERR(err));
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        log_warn("reconcile.network_drifted",
                 LOG_STR("sandbox_id", bulk_store_read_id(result, row)));
    }
    if (pg_rows(result) > 0) {
        networks_refresh(drift->sandboxes->networks);
    }
}

void drift_end(struct drift *drift)
{
    struct err err = {0};
    if (drift->ids.count == 0 || drift->is_under_way) {
        return;
    }
    drift->is_under_way = bulk_store_unsettle(drift->store, &drift->ids, on_unsettled, drift, &err);
    if (!drift->is_under_way) {
        log_info("reconcile.drift_stays", LOG_ERR(&err));
    }
}
