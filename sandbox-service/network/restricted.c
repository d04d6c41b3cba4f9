#include "sandbox-service/network/restricted.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/network/bridge.h"
#include "sandbox-service/network/resolver.h"
#include "sandbox-service/network/status_file.h"
#include "sandbox-service/network/table_watch.h"

#include <stdio.h>
#include <stdlib.h>

#define STATUS_FILE "restricted.status"
/* Of the module br_netfilter: what goes from one port of a bridge to another passes the rules. */
#define BRIDGED_PACKETS "/proc/sys/net/bridge/bridge-nf-call-iptables"

enum { STATUS_SIZE = ERR_MESSAGE_SIZE + 32, SWITCH_SIZE = 8 };
enum { REFRESH_MS = 15000 }; /* somebody may have taken the table away */

struct restricted {
    struct restricted_options options;
    struct egress_rules rules;
    struct egress *egress;     /* owned; NULL once it is stopped */
    struct resolver *resolver; /* owned; NULL until it serves */
    struct table_watch *watch; /* owned; NULL where the kernel does not tell */
    struct bridge_call bridge;
    struct egress_call table;
    char network[CONTAINER_NAME_SIZE];
    char name_server[ADDRESS_SIZE]; /* the host's address on it */
    bool busy;                      /* a check is under way: the table, then the bridge, and */
    bool is_asking;                 /* for the bridge; the table may be put back meanwhile */
    bool is_putting;                /* the table is on its way */
    bool is_gone;                   /* it was taken away while it was on its way */
    bool is_outdated;               /* another check was asked for during this one */
    bool is_available;
    bool has_table;
    int64_t checked_ms; /* monotonic: when the last check ended */
    char reason[ERR_MESSAGE_SIZE];
};

/* For people and deploy/status. */
static void write_status(const struct restricted *restricted)
{
    char text[STATUS_SIZE];
    (void)snprintf(text, sizeof text, "%s %s\n", restricted->is_available ? "restricted" : "none",
                   restricted->reason);
    status_file_write(restricted->options.config->run_dir, STATUS_FILE, text);
}

static void end_check(struct restricted *restricted, const struct err *err)
{
    const char *reason = err == NULL ? "the rules are in force, names are served" : err->message;
    bool changed =
        restricted->is_available != (err == NULL) || strcmp(restricted->reason, reason) != 0;
    restricted->busy = false;
    restricted->checked_ms = clock_monotonic_ms();
    restricted->is_available = err == NULL;
    (void)snprintf(restricted->reason, sizeof restricted->reason, "%s", reason);
    if (changed) {
        write_status(restricted);
    }
    if (changed && err == NULL) {
        log_info("network.restricted", LOG_STR("network", restricted->network));
        restricted->options.on_available(restricted->options.arg);
    } else if (changed) {
        log_warn("network.not_restricted", LOG_ERR(err));
    }
    if (restricted->is_outdated) {
        restricted_check(restricted);
    }
}

static bool check_bridged_packets(struct err *err)
{
    char text[SWITCH_SIZE] = "";
    struct err unreadable = {0};
    return (config_read_file(BRIDGED_PACKETS, text, sizeof text, &unreadable) && text[0] == '1') ||
           err_set(err, ERR_UNAVAILABLE,
                   "neighbours could talk: " BRIDGED_PACKETS " is not 1 (modprobe br_netfilter)");
}

static bool serve_names(struct restricted *restricted, struct err *err)
{
    const struct rules *open = restricted->options.open;
    const struct resolver_options options = {.loop = restricted->options.loop,
                                             .egress = restricted->egress,
                                             .address = restricted->rules.resolver,
                                             .port = RESOLVER_PORT,
                                             .servers = open->resolvers,
                                             .server_count = open->resolver_count,
                                             .server_port = RESOLVER_PORT};
    if (open->resolver_count == 0) {
        return err_set(err, ERR_UNAVAILABLE, "the host names no server for names but itself");
    }
    if (restricted->resolver == NULL) {
        restricted->resolver = resolver_open(&options, err);
    }
    return restricted->resolver != NULL;
}

static void put_table(struct restricted *restricted);

static void on_bridge(const struct err *err, void *arg)
{
    struct restricted *restricted = arg;
    struct err failure = {0};
    restricted->is_asking = false;
    if (restricted->egress == NULL || restricted->is_putting) {
        return; /* the end, or on_table goes on */
    }
    if (!restricted->has_table) { /* lost meanwhile */
        put_table(restricted);
        return;
    }
    /* A bridge that could not be asked for is as it was; what holds the sandboxes is the table. */
    if (err != NULL && (restricted->bridge.is_wrong || !restricted->is_available)) {
        end_check(restricted, err);
        return;
    }
    bool ok = check_bridged_packets(&failure) && serve_names(restricted, &failure);
    end_check(restricted, ok ? NULL : &failure);
}

static void ask_for_bridge(struct restricted *restricted)
{
    restricted->is_asking = true;
    restricted->bridge.name = restricted->network;
    restricted->bridge.instance = restricted->options.config->instance;
    restricted->bridge.bridge = restricted->rules.bridge;
    restricted->bridge.subnet = restricted->options.config->restricted_subnet;
    restricted->bridge.gateway = restricted->name_server;
    bridge_ensure(restricted->options.docker, &restricted->bridge, on_bridge, restricted);
}

static void on_table(const struct err *err, void *arg)
{
    struct restricted *restricted = arg;
    restricted->is_putting = false;
    restricted->has_table = err == NULL;
    if (restricted->egress == NULL) {
        return;
    }
    if (restricted->is_gone) {
        put_table(restricted);
    } else if (restricted->is_asking) {
        return; /* on_bridge goes on */
    } else if (err != NULL) {
        end_check(restricted, err);
    } else if (restricted->busy) {
        ask_for_bridge(restricted);
    }
}

/* The engine is not asked: the rules go by the bridge's name, it need not be there. */
static void put_table(struct restricted *restricted)
{
    struct err err = {0};
    restricted->is_gone = false;
    restricted->is_putting =
        egress_begin(restricted->egress, &restricted->table, on_table, restricted, &err);
    if (!restricted->is_putting) {
        on_table(&err, restricted);
    }
}

/* Nothing holds anybody until it is there again. */
static void on_table_gone(void *arg)
{
    struct restricted *restricted = arg;
    log_warn("network.table_gone", LOG_STR("table", restricted->rules.table));
    if (restricted->is_putting) {
        restricted->is_gone = true;
    } else {
        put_table(restricted);
    }
}

void restricted_check(struct restricted *restricted)
{
    if (restricted->egress == NULL) {
        return;
    }
    restricted->is_outdated = restricted->busy;
    if (restricted->busy) {
        return;
    }
    restricted->busy = true;
    if (!restricted->is_putting) {
        put_table(restricted);
    }
}

void restricted_refresh(struct restricted *restricted)
{
    if (clock_monotonic_ms() - restricted->checked_ms >= REFRESH_MS) {
        restricted_check(restricted);
    }
}

struct restricted *restricted_new(const struct restricted_options *options, struct err *err)
{
    const struct sandbox_config *config = options->config;
    struct restricted *restricted = calloc(1, sizeof *restricted);
    if (restricted == NULL) {
        err_set(err, ERR_INTERNAL, "network: out of memory");
        return NULL;
    }
    restricted->options = *options;
    egress_rules_name(&restricted->rules, options->open);
    (void)snprintf(restricted->network, sizeof restricted->network, "insien-%s-restricted",
                   config->instance);
    (void)snprintf(restricted->reason, sizeof restricted->reason, "not tried yet");
    for (int tier = 0; tier < TIER_COUNT; tier++) {
        restricted->rules.kbytes_per_s[tier] = config->rate_kbytes[tier];
    }
    if (!cidr_parse(view_of(config->restricted_subnet), &restricted->rules.subnet)) {
        err_set(err, ERR_INVALID, "SANDBOX_RESTRICTED_SUBNET is no range");
        restricted_free(restricted);
        return NULL;
    }
    restricted->rules.resolver = restricted->rules.subnet.address + 1;
    address_format(restricted->rules.resolver, restricted->name_server);
    restricted->egress = egress_open(options->loop, &restricted->rules, err);
    if (restricted->egress == NULL) {
        restricted_free(restricted);
        return NULL;
    }
    struct err unheard = {0};
    restricted->watch = table_watch_open(options->loop, restricted->rules.table, on_table_gone,
                                         restricted, &unheard);
    if (restricted->watch == NULL) {
        log_warn("network.table_not_watched", LOG_ERR(&unheard));
    }
    return restricted;
}

void restricted_stop(struct restricted *restricted)
{
    if (restricted != NULL) {
        table_watch_close(restricted->watch);
        restricted->watch = NULL;
        struct egress *egress = restricted->egress;
        restricted->egress = NULL; /* nothing begins any more */
        egress_close(egress);
        resolver_close(restricted->resolver);
        restricted->resolver = NULL;
        restricted->is_available = false;
        restricted->has_table = false;
    }
}

void restricted_free(struct restricted *restricted)
{
    restricted_stop(restricted);
    free(restricted);
}

bool restricted_is_available(const struct restricted *restricted)
{
    return restricted->is_available;
}

bool restricted_has_table(const struct restricted *restricted)
{
    return restricted->has_table;
}

const char *restricted_reason(const struct restricted *restricted)
{
    return restricted->reason;
}

const char *restricted_network(const struct restricted *restricted)
{
    return restricted->network;
}

const char *restricted_name_server(const struct restricted *restricted)
{
    return restricted->name_server;
}

struct egress *restricted_egress(const struct restricted *restricted)
{
    return restricted->egress;
}
