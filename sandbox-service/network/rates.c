#include "sandbox-service/network/rates.h"

#include "common/base/log.h"

#include <stdlib.h>

enum {
    INTERVAL_MS = 5000,
    SCRIPT_MAX = 1024 * 1024, /* some 140 bytes a sandbox */
};

struct rates {
    struct rates_options options;
    struct timer due;
    struct container_call list;
    struct egress_call table;
    struct map tiers; /* of those that live, by sandbox id */
    struct str script;
    bool failing; /* said once */
};

struct rated {
    struct map_node by_id;
    char sandbox_id[ID_SIZE];
    enum tier tier;
};

static void forget(struct map_node *node, void *arg)
{
    struct rates *rates = arg;
    map_remove(&rates->tiers, node);
    free(MAP_ENTRY(node, struct rated, by_id));
}

/* The end of a round, good or bad. */
static void finish(struct rates *rates, const struct err *err)
{
    if (err != NULL && !rates->failing) {
        log_warn("network.not_rated", LOG_ERR(err));
    }
    rates->failing = err != NULL;
    map_each(&rates->tiers, forget, rates);
    str_free(&rates->script);
    timer_arm(&rates->due, INTERVAL_MS);
}

static struct egress *egress_of(const struct rates *rates)
{
    return restricted_egress(rates->options.parts->restricted);
}

static void on_table(const struct err *err, void *arg)
{
    finish(arg, err);
}

static void on_address(const char *sandbox_id, uint32_t address, void *arg)
{
    struct rates *rates = arg;
    struct map_node *node = map_find(&rates->tiers, view_of(sandbox_id));
    if (node != NULL && egress_of(rates) != NULL) {
        egress_write_rate(egress_rules_of(egress_of(rates)), address,
                          MAP_ENTRY(node, struct rated, by_id)->tier, &rates->script);
    }
}

static void on_list(const struct view *list, const struct err *err, void *arg)
{
    struct rates *rates = arg;
    struct err failure = {0};
    const struct change_parts *parts = rates->options.parts;
    if (err != NULL) {
        finish(rates, err);
        return;
    }
    rates->script = STR_INIT(SCRIPT_MAX);
    if (egress_of(rates) == NULL ||
        !attachment_read_addresses(*list, parts->open_network, on_address, rates, &failure) ||
        !attachment_read_addresses(*list, restricted_network(parts->restricted), on_address, rates,
                                   &failure) ||
        !egress_set_rates(egress_of(rates), &rates->table, str_view(&rates->script), on_table,
                          rates, &failure)) {
        finish(rates, failure.code == ERR_NONE ? NULL : &failure);
    }
}

static bool note(struct rates *rates, const struct network_tier *row)
{
    struct rated *rated = calloc(1, sizeof *rated);
    if (rated == NULL) {
        return false;
    }
    memcpy(rated->sandbox_id, row->sandbox_id, ID_SIZE);
    rated->tier = row->tier;
    map_insert(&rates->tiers, &rated->by_id, view_of(rated->sandbox_id));
    return true;
}

static void on_tiers(const PGresult *result, const struct err *err, void *arg)
{
    struct rates *rates = arg;
    struct err failure = {0};
    for (int row = 0; err == NULL && row < pg_rows(result); row++) {
        struct network_tier tier;
        if (network_store_read_tier(result, row, &tier) && !note(rates, &tier)) {
            err_set(&failure, ERR_INTERNAL, "rates: out of memory");
            err = &failure;
        }
    }
    if (err != NULL) {
        finish(rates, err);
        return;
    }
    container_list(rates->options.parts->docker, &rates->list, rates->options.instance, on_list,
                   rates);
}

static void on_due(void *arg)
{
    struct rates *rates = arg;
    struct err err = {0};
    if (!docker_is_up(rates->options.parts->docker) ||
        !restricted_has_table(rates->options.parts->restricted)) {
        timer_arm(&rates->due, INTERVAL_MS);
    } else if (!network_store_tiers(rates->options.parts->store, on_tiers, rates, &err)) {
        finish(rates, &err);
    }
}

static bool is_any_held(const struct egress_rules *rules)
{
    for (int tier = 0; tier < TIER_COUNT; tier++) {
        if (rules->kbytes_per_s[tier] > 0) {
            return true;
        }
    }
    return false;
}

struct rates *rates_open(const struct rates_options *options, struct err *err)
{
    struct rates *rates = calloc(1, sizeof *rates);
    if (rates == NULL) {
        err_set(err, ERR_INTERNAL, "rates: out of memory");
        return NULL;
    }
    rates->options = *options;
    if (!map_init(&rates->tiers, err) ||
        !timer_open(&rates->due, options->loop, on_due, rates, err)) {
        rates_close(rates);
        return NULL;
    }
    if (is_any_held(egress_rules_of(egress_of(rates)))) {
        timer_arm(&rates->due, 0);
    }
    return rates;
}

void rates_close(struct rates *rates)
{
    if (rates != NULL) {
        map_each(&rates->tiers, forget, rates);
        map_free(&rates->tiers);
        str_free(&rates->script);
        timer_close(&rates->due);
        free(rates);
    }
}
