#include "sandbox-service/service.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contracts/admin.h"
#include "common/contracts/events.h"
#include "common/contracts/life.h"
#include "common/contracts/network.h"
#include "common/contracts/ports.h"
#include "common/contracts/quota.h"
#include "common/contracts/secrets.h"
#include "common/contracts/system.h"
#include "common/contracts/templates.h"
#include "common/contracts/volumes.h"
#include "common/ipc/server.h"
#include "common/redis/redis.h"
#include "sandbox-service/belongings.h"
#include "sandbox-service/call.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/events/calls.h"
#include "sandbox-service/life/calls.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/ports/ports.h"
#include "sandbox-service/sandbox/connect.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/destroy.h"
#include "sandbox-service/sandbox/listing.h"
#include "sandbox-service/sandbox/presence.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/system/system.h"
#include "sandbox-service/templates/calls.h"

#include <stdlib.h>

enum { LIST_MAX = 3 * 1024 * 1024 + 64 * 1024, STATUS_SIZE = 16 };

struct service {
    struct ipc_server *server;   /* owned */
    struct sandboxes *sandboxes; /* borrowed */
    struct calls calls;
};

/* One call that takes more than this turn of the loop. */
struct request {
    struct call call;
    struct sandboxes *sandboxes; /* borrowed */
    int64_t limit;               /* of a list */
    enum listing_reader reader;  /* of it */
    union {
        struct create_waiter create;
        struct sandbox_destruction destroy;
        struct sandbox_connection connect;
        struct store_call rows;
    } work;
};

/* NULL: answered with what is wrong. */
static struct request *begin(struct service *service, struct ipc_exchange *exchange,
                             const struct ipc_request *message, const struct json_schema *schema,
                             void *body)
{
    struct request *request = call_begin(&service->calls, exchange, message, schema, body);
    if (request != NULL) {
        request->sandboxes = service->sandboxes;
    }
    return request;
}

static void on_created(const struct view *info, const struct err *err, void *arg)
{
    if (err == NULL) {
        call_finish(arg, *info);
    } else {
        call_fail(arg, err);
    }
}

static void handle_create(struct ipc_exchange *exchange, const struct ipc_request *message,
                          void *arg)
{
    struct sandbox_create body;
    struct err err = {0};
    struct request *request = begin(arg, exchange, message, &sandbox_create_schema, &body);
    if (request == NULL) {
        return;
    }
    log_info("sandbox.create", LOG_TRACE(&message->trace), LOG_STR("sandbox_id", body.sandbox_id),
             LOG_STR("user_id", body.user_id), LOG_VIEW("template", body.template_name));
    request->work.create.done = on_created;
    request->work.create.arg = request;
    request->work.create.trace = message->trace;
    request->work.create.actor = &message->actor;
    if (!sandbox_create(request->sandboxes, &body, ipc_exchange_remaining_ms(exchange),
                        &request->work.create, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_got(const PGresult *result, const struct err *err, void *arg)
{
    struct err failure = {0};
    struct sandbox_info info;
    if (err == NULL && pg_rows(result) == 1) {
        store_read_info(result, 0, &info);
        call_finish_with(arg, &sandbox_info_schema, &info);
        return;
    }
    err_set_reason(&failure, ERR_NOT_FOUND, "sandbox_not_found", "there is no such sandbox");
    call_fail(arg, err == NULL ? &failure : err);
}

static void handle_get(struct ipc_exchange *exchange, const struct ipc_request *message, void *arg)
{
    struct sandbox_get body;
    struct request *request = begin(arg, exchange, message, &sandbox_get_schema, &body);
    if (request != NULL) {
        store_get(request->sandboxes->store, &request->work.rows, body.sandbox_id, on_got, request);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct str body = STR_INIT(LIST_MAX);
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (listing_write(result, request->limit, request->reader, &body, &failure)) {
        call_finish_text(&request->call, &body);
    } else {
        call_fail(&request->call, &failure);
    }
    str_free(&body);
}

static void handle_list(struct ipc_exchange *exchange, const struct ipc_request *message, void *arg)
{
    struct sandbox_list body;
    struct position after;
    char status[STATUS_SIZE];
    struct err err = {0};
    struct request *request = begin(arg, exchange, message, &sandbox_list_schema, &body);
    if (request == NULL) {
        return;
    }
    if (body.cursor.len > 0 && !position_read_cursor(body.cursor, &after, &err)) {
        call_fail(&request->call, &err);
        return;
    }
    request->limit = body.limit;
    const struct store_selection selection = {
        .user_id = body.user_id,
        .status = view_copy(body.status, status, sizeof status) ? status : "",
        .after = body.cursor.len > 0 ? &after : NULL,
        .limit = body.limit + 1};
    store_list(request->sandboxes->store, &request->work.rows, &selection, on_listed, request);
}

static void handle_admin_list(struct ipc_exchange *exchange, const struct ipc_request *message,
                              void *arg)
{
    struct admin_list_sandboxes body;
    struct store_any_selection selection = {0};
    char status[STATUS_SIZE];
    struct err err = {0};
    struct request *request = begin(arg, exchange, message, &admin_list_sandboxes_schema, &body);
    if (request == NULL) {
        return;
    }
    if (!position_parameters_read(body.cursor, &selection.after, &err)) {
        call_fail(&request->call, &err);
        return;
    }
    request->limit = body.limit;
    request->reader = LISTING_FOR_ADMIN;
    selection.user_id = body.user_id;
    selection.status = view_copy(body.status, status, sizeof status) ? status : "";
    selection.limit = body.limit + 1;
    store_list_any(request->sandboxes->store, &request->work.rows, &selection, on_listed, request);
}

static void on_destroyed(const struct err *err, void *arg)
{
    if (err == NULL) {
        call_finish_empty(arg);
    } else {
        call_fail(arg, err);
    }
}

/* Takes the record's place. False, and the request has failed, when there is none. */
static bool begin_destruction(struct request *request, const struct ipc_request *message,
                              const char sandbox_id[ID_SIZE], const char user_id[ID_SIZE])
{
    struct sandbox_destruction *destruction = &request->work.destroy;
    struct err err = {0};
    destruction->act =
        audit_act_begin_by(request->sandboxes->audit, AUDIT_SANDBOX_DESTROYED, "sandbox",
                           &message->actor, message->trace.request_id, &err);
    if (destruction->act == NULL) {
        call_fail(&request->call, &err);
        return false;
    }
    memcpy(audit_act_record(destruction->act)->actor_user, user_id, ID_SIZE);
    destruction->trace = message->trace;
    log_info("sandbox.destroy", LOG_TRACE(&message->trace), LOG_STR("sandbox_id", sandbox_id),
             LOG_STR("by", user_id));
    return true;
}

static void handle_destroy(struct ipc_exchange *exchange, const struct ipc_request *message,
                           void *arg)
{
    struct sandbox_destroy body;
    struct request *request = begin(arg, exchange, message, &sandbox_destroy_schema, &body);
    if (request != NULL && begin_destruction(request, message, body.sandbox_id, body.user_id)) {
        sandbox_destroy(request->sandboxes, &request->work.destroy, &body, on_destroyed, request);
    }
}

static void handle_admin_destroy(struct ipc_exchange *exchange, const struct ipc_request *message,
                                 void *arg)
{
    struct admin_destroy_sandbox body;
    struct request *request = begin(arg, exchange, message, &admin_destroy_sandbox_schema, &body);
    if (request != NULL && begin_destruction(request, message, body.sandbox_id, body.admin_id)) {
        audit_record_set_detail(audit_act_record(request->work.destroy.act), "by", VIEW("admin"));
        sandbox_destroy_any(request->sandboxes, &request->work.destroy, &body, on_destroyed,
                            request);
    }
}

static void on_connected(const struct sandbox_agent_welcome *welcome, const struct err *err,
                         void *arg)
{
    if (err == NULL) {
        call_finish_with(arg, &sandbox_agent_welcome_schema, welcome);
    } else {
        call_fail(arg, err);
    }
}

static void handle_agent_connect(struct ipc_exchange *exchange, const struct ipc_request *message,
                                 void *arg)
{
    struct sandbox_agent_connect body;
    struct err err = {0};
    struct request *request = begin(arg, exchange, message, &sandbox_agent_connect_schema, &body);
    if (request == NULL) {
        return;
    }
    request->work.connect.trace = message->trace;
    if (!sandbox_connect(request->sandboxes, &request->work.connect, &body, on_connected, request,
                         &err)) {
        call_fail(&request->call, &err);
    }
}

static void handle_report(struct ipc_exchange *exchange, const struct ipc_request *message,
                          void *arg)
{
    struct sandbox_report body;
    struct request *request = begin(arg, exchange, message, &sandbox_report_schema, &body);
    if (request == NULL) {
        return;
    }
    int64_t now_ms = clock_monotonic_ms();
    struct presence *presence = request->sandboxes->presence;
    presence_report_came(presence, now_ms);
    for (size_t i = 0; i < body.connected.count; i++) {
        char id[ID_SIZE];
        if (id_parse(body.connected.items[i], id)) {
            presence_seen_at(presence, id, now_ms);
        }
    }
    call_finish_empty(&request->call);
}

static void handle_limits(struct ipc_exchange *exchange, const struct ipc_request *message,
                          void *arg)
{
    struct sandbox_tier body;
    struct err err = {0};
    enum tier tier = TIER_FREE;
    struct request *request = begin(arg, exchange, message, &sandbox_tier_schema, &body);
    if (request == NULL) {
        return;
    }
    if (!tier_find(body.tier, &tier)) {
        err_set(&err, ERR_INVALID, "there is no such tier");
        call_fail(&request->call, &err);
        return;
    }
    const struct tier_limits *has = &request->sandboxes->config->tiers[tier];
    const struct sandbox_limits limits = {.sandboxes = has->sandboxes,
                                          .memory_mb = has->memory_mb,
                                          .cpu_shares = tier_cpu_shares(has->cpu_milli),
                                          .lifetime_hours = has->lifetime_hours};
    call_finish_with(&request->call, &sandbox_limits_schema, &limits);
}

/* What the tier allows is beside what is in use. */
static void on_usage(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct quota_usage usage;
    struct err failure = {0};
    enum tier tier = TIER_FREE;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    if (pg_rows(result) != 1) {
        call_fail_with(&request->call, ERR_NOT_FOUND, "user_not_found", "there is no such user");
        return;
    }
    store_read_usage(result, &usage);
    if (!tier_find(usage.tier, &tier)) {
        err_set(&failure, ERR_INTERNAL, "the user's tier has no limits");
        call_fail(&request->call, &failure);
        return;
    }
    const struct tier_limits *each = &request->sandboxes->config->tiers[tier];
    usage.most = each->sandboxes;
    usage.each_memory_mb = each->memory_mb;
    usage.each_cpu_milli = each->cpu_milli;
    usage.each_pids = each->pids;
    usage.each_disk_mb = each->disk_mb;
    usage.each_lifetime_hours = each->lifetime_hours;
    call_finish_with(&request->call, &quota_usage_schema, &usage);
}

static void handle_usage(struct ipc_exchange *exchange, const struct ipc_request *message,
                         void *arg)
{
    struct quota_question body;
    struct request *request = begin(arg, exchange, message, &quota_question_schema, &body);
    if (request != NULL) {
        store_usage(request->sandboxes->store, &request->work.rows, body.user_id, body.api_key_id,
                    on_usage, request);
    }
}

static void handle_health(struct ipc_exchange *exchange, const struct ipc_request *message,
                          void *arg)
{
    struct request *request = begin(arg, exchange, message, NULL, NULL);
    if (request == NULL) {
        return;
    }
    const struct sandboxes *sandboxes = request->sandboxes;
    const struct sandbox_health health = {
        .postgres = store_is_up(sandboxes->store),
        .redis = redis_is_up(sandboxes->redis),
        .docker = sandboxes->engine_ready && docker_is_up(sandboxes->docker),
    };
    call_finish_with(&request->call, &sandbox_health_schema, &health);
}

/* Calls that are one part's alone. */
#define HANDLER(name, handle, part)                                                                \
    static void name(struct ipc_exchange *exchange, const struct ipc_request *message, void *arg)  \
    {                                                                                              \
        const struct service *service = arg;                                                       \
        handle(service->sandboxes->part, exchange, message);                                       \
    }
HANDLER(handle_port_expose, ports_handle_expose, ports)
HANDLER(handle_port_list, ports_handle_list, ports)
HANDLER(handle_port_close, ports_handle_close, ports)
HANDLER(handle_network_set, networks_handle_set, networks)
HANDLER(handle_network_get, networks_handle_get, networks)
HANDLER(handle_pause, life_handle_pause, life_calls)
HANDLER(handle_resume, life_handle_resume, life_calls)
HANDLER(handle_times, life_handle_times, life_calls)
HANDLER(handle_active, life_handle_active, life_calls)
HANDLER(handle_template_create, templates_handle_create, templates)
HANDLER(handle_template_get, templates_handle_get, templates)
HANDLER(handle_template_list, templates_handle_list, templates)
HANDLER(handle_template_delete, templates_handle_delete, templates)
HANDLER(handle_template_piece, templates_handle_piece, templates)
HANDLER(handle_template_log, templates_handle_log, templates)
HANDLER(handle_event_list, events_handle_list, events)
HANDLER(handle_webhook_create, events_handle_webhook_create, events)
HANDLER(handle_webhook_list, events_handle_webhook_list, events)
HANDLER(handle_webhook_remove, events_handle_webhook_remove, events)
HANDLER(handle_webhook_redeliver, events_handle_webhook_redeliver, events)
HANDLER(handle_webhook_dead, events_handle_webhook_dead, events)
HANDLER(handle_system_stats, system_handle_stats, system)
HANDLER(handle_system_drain, system_handle_drain, system)
HANDLER(handle_system_cleanup, system_handle_cleanup, system)

static const struct ipc_method methods[] = {
    {SANDBOX_CREATE, handle_create},
    {SANDBOX_GET, handle_get},
    {SANDBOX_LIST, handle_list},
    {SANDBOX_DESTROY, handle_destroy},
    {ADMIN_LIST_SANDBOXES, handle_admin_list},
    {ADMIN_DESTROY_SANDBOX, handle_admin_destroy},
    {SANDBOX_AGENT_CONNECT, handle_agent_connect},
    {SANDBOX_REPORT, handle_report},
    {SANDBOX_LIMITS, handle_limits},
    {SANDBOX_HEALTH, handle_health},
    {QUOTA_USAGE, handle_usage},
    {SANDBOX_PAUSE, handle_pause},
    {SANDBOX_RESUME, handle_resume},
    {SANDBOX_TIMES, handle_times},
    {SANDBOX_ACTIVE, handle_active},
    {SYSTEM_STATS, handle_system_stats},
    {SYSTEM_DRAIN, handle_system_drain},
    {SYSTEM_CLEANUP, handle_system_cleanup},
    {PORT_EXPOSE, handle_port_expose},
    {PORT_LIST, handle_port_list},
    {PORT_CLOSE, handle_port_close},
    {NETWORK_SET, handle_network_set},
    {NETWORK_GET, handle_network_get},
    {TEMPLATE_CREATE, handle_template_create},
    {TEMPLATE_GET, handle_template_get},
    {TEMPLATE_LIST, handle_template_list},
    {TEMPLATE_DELETE, handle_template_delete},
    {TEMPLATE_PIECE, handle_template_piece},
    {TEMPLATE_LOG, handle_template_log},
    {EVENT_LIST, handle_event_list},
    {WEBHOOK_CREATE, handle_webhook_create},
    {WEBHOOK_LIST, handle_webhook_list},
    {WEBHOOK_REMOVE, handle_webhook_remove},
    {WEBHOOK_REDELIVER, handle_webhook_redeliver},
    {WEBHOOK_DEAD_LETTERS, handle_webhook_dead},
    {SECRET_SET, belongings_secret_set},
    {SECRET_LIST, belongings_secret_list},
    {SECRET_DELETE, belongings_secret_delete},
    {VOLUME_CREATE, belongings_volume_create},
    {VOLUME_LIST, belongings_volume_list},
    {VOLUME_DELETE, belongings_volume_delete},
};

struct service *service_open(struct loop *loop, const char *url, uid_t owner,
                             const struct ipc_tls *tls, struct sandboxes *sandboxes,
                             struct err *err)
{
    struct service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        err_set(err, ERR_INTERNAL, "service: out of memory");
        return NULL;
    }
    service->sandboxes = sandboxes;
    service->calls = (struct calls){.part = service, .size = sizeof(struct request)};
    service->server = ipc_server_open_tls(loop, url, owner, tls, methods,
                                          sizeof methods / sizeof methods[0], service, err);
    if (service->server == NULL) {
        free(service);
        return NULL;
    }
    return service;
}

void service_close(struct service *service)
{
    if (service != NULL) {
        ipc_server_close(service->server);
        free(service);
    }
}

struct sandboxes *service_sandboxes(const struct service *service)
{
    return service->sandboxes;
}

size_t service_open_requests(const struct service *service)
{
    return service->calls.open;
}
