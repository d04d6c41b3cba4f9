#include "tests/unit/gateway/native/route_stage.h"

#include "common/contracts/events.h"
#include "common/contracts/quota.h"
#include "common/contracts/sandbox.h"
#include "common/contracts/users.h"
#include "common/redis/redis.h"
#include "gateway/limits/limits.h"
#include "gateway/native/event_readers.h"
#include "gateway/native/sandbox_discard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SANDBOX_INFO                                                                               \
    "{\"sandboxId\":\"" SANDBOX_ID "\",\"userId\":\"" USER_ID "\",\"apiKeyId\":\"" KEY_ID          \
    "\",\"template\":\"base\",\"tier\":\"free\",\"network\":\"none\",\"status\":\"destroyed\","    \
    "\"endReason\":\"user\",\"createdAt\":\"2026-01-01T00:00:00.000Z\","                           \
    "\"expiresAt\":\"2026-01-01T02:00:00.000Z\",\"endedAt\":\"2026-01-01T01:00:00.000Z\","         \
    "\"metadata\":{},\"memoryMB\":512,\"cpuMilli\":1000,\"lifetimeHours\":2,"                      \
    "\"container\":{\"running\":false,\"status\":\"removed\",\"exitCode\":0,\"error\":\"\"}}"

static void serve_check_key(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    (void)request;
    struct stage *stage = arg;
    if (stage->refuse_key) {
        struct err err = {0};
        err_set_reason(&err, ERR_UNAUTHENTICATED, "invalid_api_key", "no such key");
        ipc_reply_error(exchange, &err);
        return;
    }
    char reply[256];
    (void)snprintf(reply, sizeof reply,
                   "{\"userId\":\"" USER_ID "\",\"apiKeyId\":\"" KEY_ID
                   "\",\"tier\":\"free\",\"expiresAtMs\":0,\"scopes\":%u}",
                   stage->scopes);
    if (stage->revoke_while_checking) {
        stage->refuse_key = true;
        key_cache_forget_key(stage->gateway.keys, KEY_ID);
    }
    ipc_reply_ok(exchange, view_of(reply));
}

static void serve_check_session(struct ipc_exchange *exchange, const struct ipc_request *request,
                                void *arg)
{
    const struct stage *stage = arg;
    struct err err = {0};
    if (stage->clerk_is_away) {
        err_set_reason(&err, ERR_UNAVAILABLE, "clerk_unavailable", "clerk: no route to the host");
        ipc_reply_error(exchange, &err);
        return;
    }
    if (!view_equal(request->body, VIEW("{\"token\":\"" TOKEN "\"}"))) {
        err_set_reason(&err, ERR_UNAUTHENTICATED, "invalid_session", "Invalid or expired session");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange, VIEW("{\"userId\":\"" USER_ID "\",\"sessionId\":\"" SESSION_ID
                                "\",\"tier\":\"free\",\"expiresAtMs\":0,\"scopes\":31}"));
}

/* The one that ends in ".c": of the stage's sandbox, with the scopes sandbox:read and exec. */
static void serve_check_token(struct ipc_exchange *exchange, const struct ipc_request *request,
                              void *arg)
{
    (void)arg;
    if (!view_equal(request->body, VIEW("{\"token\":\"" CLIENT_TOKEN_HEADER ".e30.c\"}"))) {
        struct err err = {0};
        err_set_reason(&err, ERR_UNAUTHENTICATED, "invalid_token", "Invalid or expired token");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange,
                 VIEW("{\"userId\":\"" USER_ID "\",\"apiKeyId\":\"" KEY_ID
                      "\",\"sandboxId\":\"" SANDBOX_ID
                      "\",\"tier\":\"free\",\"expiresAtMs\":4102444800000,\"scopes\":5}"));
}

static void serve_get(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct stage *stage = arg;
    if (stage->revoke_while_fetching) {
        stage->refuse_key = true;
        key_cache_forget_key(stage->gateway.keys, KEY_ID);
    }
    ipc_reply_ok(exchange, VIEW(SANDBOX_INFO));
}

static void serve_list(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct stage *stage = arg;
    str_clear(&stage->asked);
    str_append_view(&stage->asked, request->body);
    ipc_reply_ok(exchange, view_of(stage->page));
}

static void serve_webhook(struct ipc_exchange *exchange, const struct ipc_request *request,
                          void *arg)
{
    struct stage *stage = arg;
    str_clear(&stage->asked);
    str_append_view(&stage->asked, request->body);
    if (view_has(request->body, "\"id\":\"forged\"")) {
        struct err err = {0};
        err_set_reason(&err, ERR_INVALID, "webhook_refused", "no signature is one of ours");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange, VIEW("{}"));
}

static void serve_limits(struct ipc_exchange *exchange, const struct ipc_request *request,
                         void *arg)
{
    (void)request;
    struct stage *stage = arg;
    if (stage->hold_limits) {
        stage->held = exchange;
        return;
    }
    ipc_reply_ok(exchange, VIEW("{\"sandboxes\":2,\"memoryMB\":512,\"cpuShares\":1024,"
                                "\"lifetimeHours\":3}"));
}

static void serve_user(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct stage *stage = arg;
    str_clear(&stage->asked);
    str_append_string(&stage->asked, request->method);
    str_append_view(&stage->asked, request->body);
    if (stage->account_is != ERR_NONE) {
        struct err err = {0};
        err_set_reason(&err, stage->account_is, "invalid_api_key", "gone");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange, VIEW("{\"id\":\"" USER_ID "\",\"displayName\":\"Ann\",\"tier\":\"pro\","
                                "\"role\":\"user\",\"createdAt\":\"2026-01-01T00:00:00.000Z\"}"));
}

static void serve_leave(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct stage *stage = arg;
    if (stage->account_is != ERR_NONE) {
        serve_user(exchange, request, stage);
        return;
    }
    str_clear(&stage->asked);
    str_append_view(&stage->asked, request->body);
    ipc_reply_ok(exchange, VIEW("{}"));
}

static void serve_create(struct ipc_exchange *exchange, const struct ipc_request *request,
                         void *arg)
{
    struct stage *stage = arg;
    struct err err = {0};
    str_clear(&stage->asked);
    str_append_view(&stage->asked, request->body);
    err_set_reason(&err, ERR_LIMIT, stage->create_fails, "not now");
    ipc_reply_error(exchange, &err);
}

static void serve_events(struct ipc_exchange *exchange, const struct ipc_request *request,
                         void *arg)
{
    struct stage *stage = arg;
    int last = stage->event_page_count - 1;
    str_clear(&stage->asked);
    str_append_view(&stage->asked, request->body);
    ipc_reply_ok(exchange,
                 view_of(stage->event_pages[stage->event_asks < last ? stage->event_asks : last]));
    stage->event_asks++;
}

static void serve_hooks(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct stage *stage = arg;
    str_clear(&stage->asked);
    str_append_string(&stage->asked, request->method);
    str_append_view(&stage->asked, request->body);
    ipc_reply_ok(exchange, view_of(stage->page));
}

static const struct ipc_method methods[] = {
    {AUTH_GET_USER, serve_user},
    {AUTH_UPDATE_USER, serve_user},
    {AUTH_DELETE_USER, serve_leave},
    {AUTH_LIST_AUDIT, serve_list},
    {SANDBOX_LIMITS, serve_limits},
    {AUTH_WEBHOOK, serve_webhook},
    {AUTH_CHECK_KEY, serve_check_key},
    {AUTH_CHECK_SESSION, serve_check_session},
    {AUTH_CHECK_TOKEN, serve_check_token},
    {SANDBOX_GET, serve_get},
    {SANDBOX_LIST, serve_list},
    {SANDBOX_CREATE, serve_create},
    {QUOTA_USAGE, serve_list},
    {EVENT_LIST, serve_events},
    {WEBHOOK_CREATE, serve_hooks},
    {WEBHOOK_LIST, serve_hooks},
    {WEBHOOK_REMOVE, serve_hooks},
    {WEBHOOK_REDELIVER, serve_hooks},
    {WEBHOOK_DEAD_LETTERS, serve_hooks},
    {SECRET_SET, serve_list},
    {SECRET_LIST, serve_list},
    {SECRET_DELETE, serve_list},
    {VOLUME_CREATE, serve_list},
    {VOLUME_LIST, serve_list},
    {VOLUME_DELETE, serve_list},
};

static void on_request(struct http_exchange *exchange, void *arg)
{
    const struct stage *stage = arg;
    routes_handle(&stage->gateway, exchange, NULL);
}

void open_server(struct stage *stage, const char *exempt, const char *proxies)
{
    struct gateway *gateway = &stage->gateway;
    struct http_limits limits = http_default_limits;
    struct err err = {0};
    limits.exempt_cidrs = exempt;
    limits.proxy_cidrs = proxies;
    gateway->http = http_server_new(gateway->loop, &limits, on_request, &err);
    assert_non_null(gateway->http);
    stage->http.server = gateway->http;
    stage->http.listener = http_listen_tcp(gateway->http, "127.0.0.1", 0, stage, &err);
    assert_non_null(stage->http.listener);
}

int set_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    struct gateway *gateway = &stage->gateway;
    struct err err = {0};
    char url[128];
    stage->scopes = AUTH_SCOPES_DEFAULT;
    stage->page = "{\"sandboxes\":[],\"nextCursor\":\"\"}";
    stage->asked = STR_INIT(SCRATCH_MAX);
    (void)snprintf(stage->folder, sizeof stage->folder, "/tmp/insien-test-XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    (void)snprintf(url, sizeof url, "ipc://%s/services.sock", stage->folder);
    gateway->loop = loop_new(&err);
    stage->services = ipc_server_open(gateway->loop, url, (uid_t)-1, methods,
                                      sizeof methods / sizeof methods[0], stage, &err);
    gateway->auth_service = ipc_client_open(gateway->loop, url, "auth-service", &err);
    gateway->sandbox_service = ipc_client_open(gateway->loop, url, "sandbox-service", &err);
    gateway->keys = key_cache_new(gateway->auth_service, &err);
    gateway->sandboxes = sandbox_cache_new(gateway->sandbox_service, &err);
    gateway->discards = discards_new(gateway, &err);
    gateway->requests = requests_new(gateway->loop, &err);
    gateway->event_readers = event_readers_new(&err);
    key_cache_set_trusted(gateway->keys, true);
    sandbox_cache_set_trusted(gateway->sandboxes, true);
    stage->http.loop = gateway->loop;
    open_server(stage, "", "");
    *state = stage;
    return 0;
}

int clear_stage(void **state)
{
    struct stage *stage = *state;
    struct gateway *gateway = &stage->gateway;
    char path[128];
    http_server_free(gateway->http);
    requests_free(gateway->requests);
    discards_free(gateway->discards);
    event_readers_free(gateway->event_readers);
    limits_free(gateway->limits);
    if (stage->redis != NULL) {
        redis_close(stage->redis);
    }
    sandbox_cache_free(gateway->sandboxes);
    key_cache_free(gateway->keys);
    ipc_client_close(gateway->sandbox_service);
    ipc_client_close(gateway->auth_service);
    ipc_server_close(stage->services);
    loop_free(gateway->loop);
    str_free(&stage->asked);
    (void)snprintf(path, sizeof path, "%s/services.sock", stage->folder);
    (void)unlink(path);
    (void)rmdir(stage->folder);
    free(stage);
    return 0;
}

void connect_client(struct client *client, struct stage *stage)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_listener_port(stage->http.listener)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    client_adopt(client, &stage->http, fd);
}

struct reply get(struct client *client, struct stage *stage, const char *target)
{
    char text[512];
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY "\r\n\r\n",
                   target);
    connect_client(client, stage);
    client_send(client, view_of(text));
    return client_next(client, false);
}
