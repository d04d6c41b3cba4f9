#include "sandbox-service/network/network.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/network/bridge.h"
#include "sandbox-service/network/firewall.h"
#include "sandbox-service/network/selftest.h"
#include "sandbox-service/network/status_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define STATUS_FILE "network.status"

enum {
    RETRY_MS = 60000, /* between checks of a network that failed */
    UNKNOWN_MAX = 3,  /* refreshes in a row that told nothing; then it is closed */
    STATUS_SIZE = 1024,
    KEY_SIZE = 256,
    BOOT_ID_SIZE = 40,
    RESOLV_SIZE = 16 * 1024,
};

enum state { STATE_UNKNOWN, STATE_OPEN, STATE_CLOSED };

struct network {
    struct worker_job job; /* first: applies the rules */
    struct network_options options;
    struct rules rules;
    struct bridge_call bridge;
    char name[CONTAINER_NAME_SIZE];
    char gateway[ADDRESS_SIZE]; /* the host's address on it */
    char key[KEY_SIZE];         /* what a remembered result must have been found for */
    enum state state;
    bool busy;          /* a check or a refresh is under way */
    bool is_refresh;    /* only the rules */
    int unknown;        /* the last refreshes that told nothing */
    int64_t checked_ms; /* monotonic: when the last whole check ended */
    struct err job_err;
    char reason[ERR_MESSAGE_SIZE];
};

static void read_resolvers(struct rules *rules)
{
    /* The second: where systemd-resolved keeps the real ones. */
    static const char *const files[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};
    for (size_t i = 0; i < sizeof files / sizeof files[0] && rules->resolver_count == 0; i++) {
        struct err ignored = {0};
        char *text = malloc(RESOLV_SIZE);
        if (text != NULL && config_read_file(files[i], text, RESOLV_SIZE, &ignored)) {
            rules_add_resolvers(rules, view_of(text));
        }
        free(text);
    }
}

/* The neighbours of the host are not on the internet, whatever their addresses look like. */
static void read_connected(struct rules *rules)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        log_warn("network.no_addresses", LOG_STR("error", strerror(errno)));
        return;
    }
    for (const struct ifaddrs *each = all; each != NULL; each = each->ifa_next) {
        if (each->ifa_addr == NULL || each->ifa_netmask == NULL ||
            each->ifa_addr->sa_family != AF_INET) {
            continue;
        }
        const struct sockaddr_in *address = (const void *)each->ifa_addr;
        const struct sockaddr_in *mask = (const void *)each->ifa_netmask;
        if (!rules_add_connected(rules, ntohl(address->sin_addr.s_addr),
                                 ntohl(mask->sin_addr.s_addr))) {
            log_error("network.not_closed", LOG_STR("interface", each->ifa_name));
        }
    }
    freeifaddrs(all);
}

static void make_key(struct network *network)
{
    char boot_id[BOOT_ID_SIZE] = "";
    struct err ignored = {0};
    if (!config_read_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id, &ignored)) {
        boot_id[0] = '\0';
    }
    (void)snprintf(network->key, sizeof network->key, "boot %s, %s on %s, %s", boot_id,
                   network->options.config->subnet, network->rules.bridge,
                   network->options.agent_volume);
}

/* For people and deploy/status; the second line is for the next process. */
static void write_status(const struct network *network)
{
    char text[STATUS_SIZE];
    (void)snprintf(text, sizeof text, "%s %s\n%s\n", network->state == STATE_OPEN ? "open" : "none",
                   network->reason, network->key);
    status_file_write(network->options.config->run_dir, STATUS_FILE, text);
}

static bool was_open(const struct network *network)
{
    char path[STATUS_PATH_SIZE];
    char text[STATUS_SIZE];
    struct err ignored = {0};
    status_file_path(network->options.config->run_dir, STATUS_FILE, path);
    if (!config_read_file(path, text, sizeof text, &ignored)) {
        return false;
    }
    const char *key = strchr(text, '\n');
    return strncmp(text, "open ", strlen("open ")) == 0 && key != NULL &&
           strcmp(key + 1, network->key) == 0;
}

static void set_state(struct network *network, enum state state, const char *reason)
{
    bool changed = network->state != state || strcmp(network->reason, reason) != 0;
    network->state = state;
    if (!changed) {
        return;
    }
    (void)snprintf(network->reason, sizeof network->reason, "%s", reason);
    if (state == STATE_OPEN) {
        log_info("network.open", LOG_STR("why", network->reason));
    } else {
        log_warn("network.closed", LOG_STR("why", network->reason));
    }
    write_status(network);
    network->options.on_settled(network->options.arg);
}

static void end_check(struct network *network, enum state state, const char *reason)
{
    network->busy = false;
    network->checked_ms = clock_monotonic_ms();
    set_state(network, state, reason);
}

/* is_told: something is wrong, and not only unknown. A refresh that the engine, or who else works
 * at the rules, keeps waiting changes nothing: they are in force. */
static void fail(struct network *network, const struct err *err, bool is_told)
{
    if (!network->is_refresh) {
        end_check(network, STATE_CLOSED, err->message);
        return;
    }
    network->busy = false;
    network->unknown++;
    if (is_told || network->unknown >= UNKNOWN_MAX) {
        set_state(network, STATE_CLOSED, err->message);
    } else {
        log_warn("network.not_refreshed", LOG_ERR(err));
    }
}

static void on_tested(const struct err *err, void *arg)
{
    struct network *network = arg;
    if (err == NULL) {
        end_check(network, STATE_OPEN, "the self-test passed");
    } else {
        end_check(network, STATE_CLOSED, err->message);
    }
}

static void begin_test(struct network *network)
{
    struct err err = {0};
    const struct selftest_options options = {
        .docker = network->options.docker,
        .workers = network->options.workers,
        .rules = &network->rules,
        .network = network->name,
        .gateway = network->gateway,
        .instance = network->options.config->instance,
        .agent_volume = network->options.agent_volume,
        .seccomp = network->options.seccomp,
    };
    if (!selftest_begin(&options, on_tested, network, &err)) {
        end_check(network, STATE_CLOSED, err.message);
    }
}

/* On a worker. */
static void run_apply(struct worker_job *job)
{
    struct network *network = (struct network *)(void *)job;
    network->job_err = (struct err){0};
    (void)!firewall_apply(&network->rules, &network->job_err);
}

static void on_applied(struct worker_job *job)
{
    struct network *network = (struct network *)(void *)job;
    if (network->job_err.code != ERR_NONE) {
        fail(network, &network->job_err, network->job_err.code != ERR_TIMEOUT);
        return;
    }
    network->unknown = 0;
    if (network->is_refresh) {
        network->busy = false;
        return;
    }
    if (network->state == STATE_UNKNOWN && was_open(network)) {
        set_state(network, STATE_OPEN, "the self-test passed earlier and is being repeated");
    }
    begin_test(network);
}

static void apply_rules(struct network *network)
{
    struct err err = {0};
    network->job.run = run_apply;
    network->job.done = on_applied;
    if (!worker_submit(network->options.workers, &network->job, &err)) {
        fail(network, &err, false);
    }
}

static void on_bridge(const struct err *err, void *arg)
{
    struct network *network = arg;
    if (err != NULL) {
        fail(network, err, network->bridge.is_wrong);
        return;
    }
    /* Somebody removed it since: what is new has to be tested. */
    network->is_refresh = network->is_refresh && !network->bridge.created;
    apply_rules(network);
}

static void begin_bridge(struct network *network, bool is_refresh)
{
    const struct sandbox_config *config = network->options.config;
    network->busy = true;
    network->is_refresh = is_refresh;
    network->bridge.name = network->name;
    network->bridge.instance = config->instance;
    network->bridge.bridge = network->rules.bridge;
    network->bridge.subnet = config->subnet;
    network->bridge.gateway = network->gateway;
    bridge_ensure(network->options.docker, &network->bridge, on_bridge, network);
}

void network_check(struct network *network)
{
    if (!network->busy) {
        begin_bridge(network, false);
    }
}

void network_refresh(struct network *network)
{
    if (network->busy || !docker_is_up(network->options.docker) ||
        network->state == STATE_UNKNOWN) {
        return;
    }
    if (network->state == STATE_CLOSED) {
        if (clock_monotonic_ms() - network->checked_ms >= RETRY_MS) {
            network_check(network);
        }
        return;
    }
    begin_bridge(network, true);
}

void network_engine_missing(struct network *network)
{
    if (!network->busy && network->state == STATE_UNKNOWN) {
        set_state(network, STATE_CLOSED, "the docker engine does not answer");
    }
}

struct network *network_new(const struct network_options *options, struct err *err)
{
    struct network *network = calloc(1, sizeof *network);
    if (network == NULL) {
        err_set(err, ERR_INTERNAL, "network: out of memory");
        return NULL;
    }
    network->options = *options;
    (void)snprintf(network->name, sizeof network->name, "insien-%s", options->config->instance);
    (void)snprintf(network->reason, sizeof network->reason, "not tested yet");
    rules_name(&network->rules, options->config->instance);
    network->rules.blocked = options->config->blocked;
    network->rules.blocked_count = options->config->blocked_count;
    if (!cidr_parse(view_of(options->config->subnet), &network->rules.subnet)) {
        err_set(err, ERR_INVALID, "SANDBOX_SUBNET is no range");
        free(network);
        return NULL;
    }
    address_format(network->rules.subnet.address + 1, network->gateway);
    read_resolvers(&network->rules);
    read_connected(&network->rules);
    make_key(network);
    return network;
}

void network_free(struct network *network)
{
    free(network);
}

bool network_is_open(const struct network *network)
{
    return network->state == STATE_OPEN;
}

const char *network_reason(const struct network *network)
{
    return network->reason;
}

const char *network_name(const struct network *network)
{
    return network->name;
}

const struct rules *network_rules(const struct network *network)
{
    return &network->rules;
}
