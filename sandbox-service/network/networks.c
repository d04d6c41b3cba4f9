#include "sandbox-service/network/networks.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/call.h"
#include "sandbox-service/network/change.h"
#include "sandbox-service/network/flush.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/network/rates.h"
#include "sandbox-service/network/recovery.h"
#include "sandbox-service/network/restricted.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FLUSH_SPACING_MS = 1000, /* between looks at what one sandbox was denied */
};

struct networks {
    struct sandboxes *sandboxes;   /* borrowed */
    struct restricted *restricted; /* borrowed */
    struct network_store *store;   /* owned */
    struct change_parts parts;
    struct map changing;       /* changes under way, by sandbox id */
    struct recovery *recovery; /* owned */
    struct rates *rates;       /* owned */
    struct calls calls;
    char host_server[ADDRESS_SIZE]; /* for names; "": there is none but the host itself */
};

/* One call. */
struct network_request {
    struct call call;
    struct map_node changing; /* linked while it changes its sandbox */
    struct network_change change;
    char sandbox_id[ID_SIZE];
};

static void release(struct call *call)
{
    struct network_request *request = (struct network_request *)(void *)call;
    struct networks *networks = call->calls->part;
    map_remove(&networks->changing, &request->changing);
}

static struct networks *networks_of(const struct network_request *request)
{
    return request->call.calls->part;
}

static void finish_shown(struct network_request *request, const PGresult *result)
{
    char texts[NETWORK_DENIALS_MAX][NETWORK_DENIAL_TEXT_SIZE];
    struct view views[NETWORK_DENIALS_MAX];
    struct network_owner owner;
    struct policy_list list;
    struct err err = {0};
    size_t count = 0;
    for (int row = 0; row < pg_rows(result) && count < NETWORK_DENIALS_MAX; row++) {
        struct network_denial denial;
        if (network_store_has_denial(result, row)) {
            network_store_read_denial(result, row, &denial);
            network_denial_write(&denial, texts[count]);
            views[count] = view_of(texts[count]);
            count++;
        }
    }
    network_store_read_owner(result, &owner);
    AUTO(json_doc_release) struct json_doc *doc = policy_read_list(owner.allow, &list, &err);
    if (doc == NULL) {
        call_fail(&request->call, &err);
        return;
    }
    struct network_answer answer = {
        .network = owner.network, .allow = list.entries, .denials = {views, count}};
    memcpy(answer.user_id, owner.user_id, ID_SIZE);
    call_finish_with(&request->call, &network_answer_schema, &answer);
}

static void on_got(const PGresult *result, const struct err *err, void *arg)
{
    struct network_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (pg_rows(result) == 0) {
        call_fail_with(&request->call, ERR_NOT_FOUND, "sandbox_not_found",
                       "there is no such sandbox");
    } else {
        finish_shown(request, result);
    }
}

static void get(struct network_request *request)
{
    struct err err = {0};
    if (!network_store_get(networks_of(request)->store, request->sandbox_id, on_got, request,
                           &err)) {
        call_fail(&request->call, &err);
    }
}

static struct egress_box *find_box(const struct networks *networks, const char *sandbox_id)
{
    struct egress *egress = restricted_egress(networks->restricted);
    return egress == NULL ? NULL : egress_box_of(egress, sandbox_id);
}

/* For when the rules of a box end: the kernel's count ends with them. */
static void flush(struct networks *networks, struct egress_box *box)
{
    struct err err = {0};
    if (!flush_begin(restricted_egress(networks->restricted), networks->store, box, NULL, NULL,
                     &err)) {
        log_warn("network.denials_lost", LOG_STR("sandbox_id", box->sandbox_id), LOG_ERR(&err));
    }
}

void networks_forget(struct networks *networks, const char sandbox_id[ID_SIZE])
{
    struct egress_box *box = networks == NULL ? NULL : find_box(networks, sandbox_id);
    if (box != NULL) {
        flush(networks, box); /* begun first: changes of the table keep their order */
        egress_dismiss(restricted_egress(networks->restricted), sandbox_id);
    }
}

static void on_flushed(void *arg)
{
    get(arg);
}

/* What was tried up to now is in the answer, unless it is asked for all the time. */
static void flush_and_get(struct network_request *request)
{
    const struct networks *networks = networks_of(request);
    struct egress_box *box = find_box(networks, request->sandbox_id);
    struct err ignored = {0};
    if (box == NULL || clock_monotonic_ms() - box->flushed_ms < FLUSH_SPACING_MS ||
        !flush_begin(restricted_egress(networks->restricted), networks->store, box, on_flushed,
                     request, &ignored)) {
        get(request);
    }
}

static void on_changed(const struct err *err, void *arg)
{
    struct network_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    log_info("network.changed", LOG_TRACE(&request->call.message->trace),
             LOG_STR("sandbox_id", request->sandbox_id),
             LOG_STR("network", request->change.wanted));
    sandboxes_publish(networks_of(request)->sandboxes, request->sandbox_id);
    get(request);
}

bool networks_offer(const struct networks *networks, struct view mode,
                    const struct json_strings *allow, struct err *err)
{
    bool is_restricted = view_equal(mode, VIEW("restricted"));
    const struct network *open = networks->sandboxes->network;
    if (allow->count > 0 && !is_restricted) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "allow is of a restricted network");
    }
    if (view_equal(mode, VIEW("open")) && !network_is_open(open)) {
        return err_set_reason(err, ERR_UNAVAILABLE, "network_unavailable", "%s",
                              network_reason(open));
    }
    return !is_restricted || restricted_is_available(networks->restricted) ||
           err_set_reason(err, ERR_UNAVAILABLE, "network_unavailable", "%s",
                          restricted_reason(networks->restricted));
}

const char *networks_name_server(const struct networks *networks)
{
    if (networks->host_server[0] == '\0') {
        return NULL;
    }
    /* It is for life, and the table leads on who is on the open network. */
    return restricted_has_table(networks->restricted) ? restricted_name_server(networks->restricted)
                                                      : networks->host_server;
}

const struct change_parts *networks_parts(const struct networks *networks)
{
    return &networks->parts;
}

static bool is_possible(const struct networks *networks, const struct network_set *wanted,
                        struct err *err)
{
    if (sandbox_is_being_started(networks->sandboxes, wanted->sandbox_id)) {
        return err_set_reason(err, ERR_CONFLICT, "sandbox_starting", "it is being created");
    }
    if (map_find(&networks->changing, view_of(wanted->sandbox_id)) != NULL) {
        return err_set_reason(err, ERR_CONFLICT, "network_changing",
                              "the network is being changed");
    }
    return networks_offer(networks, wanted->network, &wanted->allow, err);
}

static bool begin_act(struct network_request *request, const struct network_set *wanted)
{
    const struct call_act act = {.action = AUDIT_NETWORK_CHANGED,
                                 .user_id = wanted->user_id,
                                 .target = view_of(wanted->sandbox_id)};
    if (!call_begin_act(&request->call, &act)) {
        return false;
    }
    audit_record_add_detail(audit_act_record(request->call.act), "network", wanted->network);
    return true;
}

static bool begin_change(struct network_request *request, const struct network_set *wanted,
                         struct err *err)
{
    struct networks *networks = networks_of(request);
    AUTO(str_free) struct str allow = STR_INIT(POLICY_TEXT_MAX);
    struct policy *policy = policy_read(&wanted->allow, err);
    if (policy == NULL || !policy_write(&wanted->allow, &allow, err)) {
        free(policy);
        return false;
    }
    struct egress_box *box = find_box(networks, request->sandbox_id);
    if (box != NULL) { /* begun first, as above */
        flush(networks, box);
    }
    map_insert(&networks->changing, &request->changing, view_of(request->sandbox_id));
    return network_change_begin(&request->change, &networks->parts, request->sandbox_id,
                                wanted->user_id, network_mode(wanted->network), allow.data, policy,
                                on_changed, request, err);
}

/* Reads the message into body, which begins with the sandbox's id. NULL: answered with what is
 * wrong. */
static struct network_request *begin(struct networks *networks, struct ipc_exchange *exchange,
                                     const struct ipc_request *message,
                                     const struct json_schema *schema, void *body)
{
    struct network_request *request = call_begin(&networks->calls, exchange, message, schema, body);
    if (request != NULL) {
        memcpy(request->sandbox_id, body, ID_SIZE);
    }
    return request;
}

void networks_handle_set(struct networks *networks, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct network_set body;
    struct err err = {0};
    struct network_request *request =
        begin(networks, exchange, message, &network_set_schema, &body);
    if (request == NULL || !begin_act(request, &body)) {
        return;
    }
    if (!is_possible(networks, &body, &err) || !begin_change(request, &body, &err)) {
        call_fail(&request->call, &err);
    }
}

void networks_handle_get(struct networks *networks, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct network_get body;
    struct network_request *request =
        begin(networks, exchange, message, &network_get_schema, &body);
    if (request != NULL) {
        flush_and_get(request);
    }
}

void networks_adopt(struct networks *networks)
{
    recovery_adopt(networks->recovery);
}

void networks_refresh(struct networks *networks)
{
    recovery_refresh(networks->recovery);
}

static bool open_helpers(struct networks *networks, struct err *err)
{
    const struct sandboxes *sandboxes = networks->sandboxes;
    const struct recovery_options recovery = {.loop = sandboxes->loop,
                                              .parts = &networks->parts,
                                              .network = sandboxes->network,
                                              .changing = &networks->changing};
    const struct rates_options rates = {.loop = sandboxes->loop,
                                        .instance = sandboxes->config->instance,
                                        .parts = &networks->parts};
    networks->recovery = recovery_open(&recovery, err);
    networks->rates = networks->recovery == NULL ? NULL : rates_open(&rates, err);
    return networks->rates != NULL;
}

struct networks *networks_open(struct sandboxes *sandboxes, struct restricted *restricted,
                               struct err *err)
{
    const struct sandbox_config *config = sandboxes->config;
    struct networks *networks = calloc(1, sizeof *networks);
    if (networks == NULL) {
        err_set(err, ERR_INTERNAL, "networks: out of memory");
        return NULL;
    }
    const struct network_store_options store = {.loop = sandboxes->loop,
                                                .instance = config->instance,
                                                .node = config->node_name,
                                                .url = config->database_url,
                                                .restricted_range = config->restricted_subnet};
    networks->sandboxes = sandboxes;
    networks->restricted = restricted;
    const struct rules *rules = network_rules(sandboxes->network);
    if (rules->resolver_count > 0) {
        address_format(rules->resolvers[0], networks->host_server);
    }
    networks->calls = (struct calls){.part = networks,
                                     .audit = sandboxes->audit,
                                     .target_kind = "sandbox",
                                     .size = sizeof(struct network_request),
                                     .release = release};
    if (!map_init(&networks->changing, err) ||
        (networks->store = network_store_open(&store, err)) == NULL) {
        networks_close(networks);
        return NULL;
    }
    networks->parts = (struct change_parts){.docker = sandboxes->docker,
                                            .store = networks->store,
                                            .restricted = restricted,
                                            .open_network = network_name(sandboxes->network)};
    if (!open_helpers(networks, err)) {
        networks_close(networks);
        return NULL;
    }
    return networks;
}

bool networks_fail_all(struct networks *networks)
{
    return network_store_fail_all(networks->store);
}

void networks_close(struct networks *networks)
{
    if (networks != NULL) {
        network_store_close(networks->store);
        rates_close(networks->rates);
        recovery_close(networks->recovery);
        map_free(&networks->changing);
        free(networks);
    }
}

size_t networks_open_requests(const struct networks *networks)
{
    return networks->calls.open;
}
