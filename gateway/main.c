/* insien-gateway: the only process on the network. */
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/redis/redis.h"
#include "gateway/audit/recorder.h"
#include "gateway/cache/activity.h"
#include "gateway/cache/invalidation.h"
#include "gateway/cache/key_cache.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/cache/session_report.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/http/outflow.h"
#include "gateway/http/server.h"
#include "gateway/http/tls.h"
#include "gateway/hub/hub.h"
#include "gateway/limits/limits.h"
#include "gateway/native/client_socket.h"
#include "gateway/native/event_readers.h"
#include "gateway/native/health.h"
#include "gateway/native/pending.h"
#include "gateway/native/routes.h"
#include "gateway/native/sandbox_discard.h"
#include "gateway/ports/exposed.h"
#include "gateway/ports/host_ports.h"
#include "gateway/preview/preview.h"
#include "gateway/stats/history.h"
#include "gateway/stats/sampler.h"

#include <malloc.h>
#include <stdlib.h>

enum {
    DRAIN_MS = 10 * 1000,
    MEMORY_KEPT = 1024 * 1024, /* free memory that is not given back */
};

/* Everything with a lifetime, in the order it is built. */
struct process {
    struct gateway_config config;
    struct http_limits limits;
    struct redis *limits_redis;
    struct gateway gateway;
    struct invalidation *invalidation;
    struct session_report *session_report;
    struct sampler *sampler;
    struct http_tls *tls; /* NULL: plain */
    struct http_listener *listeners[2];
    struct timer drain_timer;
    int draining; /* parts that are not done yet */
};

/* The http_request_fn has the listener's arg alone: public listeners have NULL. */
static struct process process;

static void on_request(struct http_exchange *exchange, void *arg)
{
    if (arg != NULL || !preview_handle(process.gateway.preview, exchange)) {
        routes_handle(&process.gateway, exchange, arg);
    }
}

static bool open_log(const struct gateway_config *config, struct err *err)
{
    enum log_level level;
    if (!log_level_parse(view_of(config->log_level), &level)) {
        return err_set(err, ERR_INVALID, "LOG_LEVEL must be debug, info, warn or error");
    }
    log_set_level(level);
    return true;
}

static bool open_limits(struct gateway *gateway, struct err *err)
{
    const struct gateway_config *config = gateway->config;
    process.limits_redis = redis_open(gateway->loop, config->redis_url, err);
    gateway->limits = process.limits_redis == NULL
                          ? NULL
                          : limits_new(process.limits_redis, config->instance, gateway->id, err);
    return gateway->limits != NULL;
}

static bool open_services(struct gateway *gateway, struct err *err)
{
    const struct gateway_config *config = gateway->config;
    struct ipc_tls tls = {config->ipc_ca, config->ipc_certificate, config->ipc_key, "auth"};
    gateway->auth_service =
        ipc_client_open_tls(gateway->loop, config->auth_ipc, "auth-service", &tls, err);
    if (gateway->auth_service == NULL) {
        return err_wrap(err, "AUTH_IPC");
    }
    tls.peer_role = "sandbox";
    gateway->sandbox_service =
        ipc_client_open_tls(gateway->loop, config->sandbox_ipc, "sandbox-service", &tls, err);
    return gateway->sandbox_service != NULL || err_wrap(err, "SANDBOX_IPC");
}

static bool open_inside(struct gateway *gateway, struct err *err)
{
    const struct gateway_config *config = gateway->config;
    return (gateway->loop = loop_new(err)) != NULL && open_services(gateway, err) &&
           (gateway->recorder = recorder_open(gateway->loop, gateway->auth_service,
                                              config->recorder_scope, err)) != NULL &&
           (gateway->keys = key_cache_new(gateway->auth_service, err)) != NULL &&
           (gateway->sandboxes = sandbox_cache_new(gateway->sandbox_service, err)) != NULL &&
           (gateway->exposed =
                exposed_cache_new(gateway->sandbox_service, config->preview_secret, err)) != NULL &&
           (gateway->discards = discards_new(gateway, err)) != NULL &&
           (gateway->requests = requests_new(gateway->loop, err)) != NULL &&
           (gateway->event_readers = event_readers_new(err)) != NULL &&
           (gateway->pending = pending_open(gateway, err)) != NULL && open_limits(gateway, err) &&
           (gateway->stats_history = stats_history_open(gateway, err)) != NULL &&
           (gateway->client_sockets = client_sockets_new(gateway, err)) != NULL &&
           (process.invalidation = invalidation_open(gateway, err)) != NULL &&
           (process.session_report = session_report_new(gateway, err)) != NULL;
}

static bool open_host_ports(struct gateway *gateway, struct err *err)
{
    const struct host_ports_options options = {.loop = gateway->loop,
                                               .config = gateway->config,
                                               .exposed = gateway->exposed,
                                               .hub = gateway->hub};
    gateway->host_ports = host_ports_new(&options, err);
    if (gateway->host_ports == NULL) {
        return false;
    }
    hub_observe(gateway->hub, &host_ports_observer, gateway->host_ports);
    return true;
}

static bool is_preview(const struct http_head *head, void *arg)
{
    (void)arg;
    return preview_is_for(process.gateway.preview, head);
}

static bool open_preview(struct gateway *gateway, struct err *err)
{
    const struct gateway_config *config = gateway->config;
    const struct preview_options options = {
        .loop = gateway->loop,
        .hub = gateway->hub,
        .exposed = gateway->exposed,
        .domain = config->preview_domain,
        .is_tls =
            config->tls_certificate[0] != '\0' || strcmp(config->preview_scheme, "https") == 0,
        .limits = gateway->limits,
        .limit_policy = &config->limit_policy,
    };
    gateway->preview = preview_new(&options, err);
    http_server_pass_raw_targets(gateway->http, is_preview, NULL);
    return gateway->preview != NULL;
}

static bool open_http(struct gateway *gateway, struct err *err)
{
    const struct gateway_config *config = gateway->config;
    struct http_limits *limits = &process.limits;
    *limits = http_default_limits;
    limits->connections_max = (size_t)config->connections_max;
    limits->connections_per_address_max = (size_t)config->connections_per_address_max;
    limits->exempt_cidrs = config->rate_limit_exempt;
    limits->proxy_cidrs = config->trusted_proxies;
    outflow_set_budget((size_t)config->client_backlog_mb * 1024 * 1024);
    gateway->http = http_server_new(gateway->loop, limits, on_request, err);
    if (gateway->http == NULL) {
        return false;
    }
    http_server_allow_origins(gateway->http, config->allowed_origins);
    return true;
}

static bool open_activity(struct gateway *gateway, struct err *err)
{
    gateway->activity = activity_open(gateway->loop, gateway->sandbox_service, gateway->id,
                                      gateway->config->activity_kinds, err);
    if (gateway->activity == NULL) {
        return false;
    }
    activity_set_source(gateway->activity, hub_note_activity, gateway->hub);
    return true;
}

static bool open_outside(struct gateway *gateway, struct err *err)
{
    const struct gateway_config *config = gateway->config;
    return (gateway->health = health_open(gateway, err)) != NULL && open_http(gateway, err) &&
           (gateway->hub = hub_new(gateway, err)) != NULL && open_activity(gateway, err) &&
           open_host_ports(gateway, err) && (process.sampler = sampler_new(gateway, err)) != NULL &&
           open_preview(gateway, err) &&
           (process.listeners[0] = http_listen_tcp(gateway->http, config->host,
                                                   (uint16_t)config->port, NULL, err)) != NULL &&
           (config->ws_port == config->port ||
            (process.listeners[1] = http_listen_tcp(gateway->http, config->host,
                                                    (uint16_t)config->ws_port, NULL, err)) != NULL);
}

/* Both public listeners speak TLS, or neither. */
static bool open_tls(const struct gateway_config *config, struct err *err)
{
    if (config->tls_certificate[0] == '\0') {
        return true;
    }
    process.tls = http_tls_new(config->tls_certificate, config->tls_key, err);
    for (size_t i = 0; i < sizeof process.listeners / sizeof process.listeners[0]; i++) {
        if (process.tls != NULL && process.listeners[i] != NULL) {
            http_listener_use_tls(process.listeners[i], process.tls);
        }
    }
    return process.tls != NULL;
}

static bool on_reload(void *arg)
{
    struct err err = {0};
    (void)arg;
    if (process.tls == NULL || http_tls_reload(process.tls, &err)) {
        return true;
    }
    log_error("tls.not_reloaded", LOG_ERR(&err));
    return false;
}

static void on_drain_timeout(void *arg)
{
    (void)arg;
    log_warn("process.drain_timeout", LOG_INT("parts_left", process.draining));
    loop_stop(process.gateway.loop);
}

static void on_recorder_drained(void *arg)
{
    (void)arg;
    loop_stop(process.gateway.loop);
}

static void on_part_drained(void *arg)
{
    (void)arg;
    if (--process.draining == 0) {
        recorder_drain(process.gateway.recorder, on_recorder_drained, NULL);
    }
}

static void on_stop(void *arg)
{
    (void)arg;
    process.draining = 2;
    timer_arm(&process.drain_timer, DRAIN_MS);
    host_ports_stop(process.gateway.host_ports);
    client_sockets_drain(process.gateway.client_sockets, on_part_drained, NULL);
    http_server_drain(process.gateway.http, on_part_drained, NULL);
}

static void take_down(struct gateway *gateway)
{
    timer_close(&process.drain_timer);
    invalidation_close(process.invalidation);
    session_report_free(process.session_report);
    client_sockets_free(gateway->client_sockets);
    pending_close(gateway->pending);
    hub_stop_listening(gateway->hub);
    preview_free(gateway->preview);
    gateway->preview = NULL;
    http_server_free(gateway->http);
    http_tls_free(process.tls);
    requests_free(gateway->requests);
    discards_free(gateway->discards);
    event_readers_free(gateway->event_readers);
    limits_free(gateway->limits);
    if (process.limits_redis != NULL) {
        redis_close(process.limits_redis);
    }
    if (gateway->hub != NULL) {
        hub_observe(gateway->hub, NULL, NULL);
    }
    host_ports_free(gateway->host_ports);
    activity_close(gateway->activity);
    gateway->activity = NULL;
    sampler_free(process.sampler);
    stats_history_close(gateway->stats_history);
    hub_free(gateway->hub);
    health_close(gateway->health);
    exposed_cache_free(gateway->exposed);
    sandbox_cache_free(gateway->sandboxes);
    key_cache_free(gateway->keys);
    recorder_close(gateway->recorder);
    ipc_client_close(gateway->sandbox_service);
    ipc_client_close(gateway->auth_service);
    loop_free(gateway->loop);
}

/* Buffers of 64 KiB come and go with each read; the kernel would clear each of their pages anew. */
static void keep_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, MEMORY_KEPT);
    (void)mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT);
}

int main(void)
{
    struct err err = {0};
    struct gateway *gateway = &process.gateway;
    log_open("gateway", LOG_INFO);
    secret_protect_process();
    keep_memory();
    gateway->config = &process.config;
    bool up = gateway_config_read(&process.config, &err) && open_log(&process.config, &err) &&
              id_new(gateway->id, &err) && open_inside(gateway, &err) &&
              open_outside(gateway, &err) &&
              timer_open(&process.drain_timer, gateway->loop, on_drain_timeout, NULL, &err) &&
              open_tls(&process.config, &err) &&
              loop_on_stop_signal(gateway->loop, on_stop, NULL, &err) &&
              loop_on_reload_signal(gateway->loop, on_reload, NULL, &err);
    gateway_config_forget_environment();
    secret_wipe(process.config.redis_url, sizeof process.config.redis_url); /* the parts have it */
    if (up) {
        session_report_begin(process.session_report);
        log_info("process.started", LOG_INT("port", process.config.port),
                 LOG_INT("ws_port", process.config.ws_port), LOG_STR("gateway_id", gateway->id));
        loop_run(gateway->loop);
        log_info("process.stopped");
    } else {
        log_error("process.failed", LOG_ERR(&err));
    }
    take_down(gateway);
    secret_wipe(&process.config, sizeof process.config);
    return up ? EXIT_SUCCESS : EXIT_FAILURE;
}
