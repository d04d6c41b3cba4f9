#include "tests/unit/gateway/native/rest_stage.h"

#include "common/contracts/auth.h"
#include "common/contracts/idempotency.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/cache/key_cache.h"
#include "gateway/native/routes.h"
#include "gateway/native/sandbox_discard.h"
#include "tests/support/turn.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void serve_check_key(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    (void)request;
    (void)arg;
    ipc_reply_ok(exchange, VIEW("{\"userId\":\"11111111-1111-4111-8111-111111111111\","
                                "\"apiKeyId\":\"22222222-2222-4222-8222-222222222222\","
                                "\"tier\":\"free\",\"expiresAtMs\":4102444800000,\"scopes\":31}"));
}

static void serve_check_session(struct ipc_exchange *exchange, const struct ipc_request *request,
                                void *arg)
{
    const struct rest_stage *stage = arg;
    char reply[256];
    (void)request;
    (void)snprintf(reply, sizeof reply,
                   "{\"userId\":\"11111111-1111-4111-8111-111111111111\","
                   "\"sessionId\":\"" REST_SESSION "\",\"tier\":\"free\","
                   "\"expiresAtMs\":4102444800000,\"scopes\":31,\"watchSession\":%s,"
                   "\"returnAtMs\":%" PRId64 "}",
                   stage->is_watched ? "true" : "false", stage->return_at_ms);
    ipc_reply_ok(exchange, view_of(reply));
}

static void serve_idempotency(struct ipc_exchange *exchange, const struct ipc_request *request,
                              void *arg)
{
    const struct rest_stage *stage = arg;
    assert_non_null(stage->on_idempotency);
    stage->on_idempotency(exchange, request, arg);
}

static void serve_keys(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    const struct rest_stage *stage = arg;
    assert_non_null(stage->on_keys);
    stage->on_keys(exchange, request, arg);
}

static const struct ipc_method methods[] = {
    {AUTH_CREATE_KEY, serve_keys},           {AUTH_ROTATE_KEY, serve_keys},
    {AUTH_CHECK_KEY, serve_check_key},       {AUTH_CHECK_SESSION, serve_check_session},
    {IDEMPOTENCY_CLAIM, serve_idempotency},  {IDEMPOTENCY_RENEW, serve_idempotency},
    {IDEMPOTENCY_FINISH, serve_idempotency}, {IDEMPOTENCY_RELEASE, serve_idempotency},
};

static void on_request(struct http_exchange *exchange, void *arg)
{
    const struct rest_stage *stage = arg;
    routes_handle(&stage->agent.gateway, exchange, NULL);
}

static void on_text(struct view text, const struct json_envelope *envelope, void *arg)
{
    struct rest_stage *stage = arg;
    stage->requests++;
    str_append_view(&stage->asked, text);
    str_append_char(&stage->asked, '\n');
    assert_true(view_copy(envelope->id, stage->id, sizeof stage->id));
    stage->stream_id = envelope->stream_id;
    if (stage->on_request != NULL) {
        stage->on_request(stage, text);
    }
}

static void on_frame(const struct stream_frame *frame, void *arg)
{
    struct rest_stage *stage = arg;
    switch (frame->kind) {
    case STREAM_DATA:
        str_append_view(&stage->taken, frame->payload);
        if (stage->grants && frame->payload.len > 0) {
            agent_send_window(&stage->agent, frame->id, (uint32_t)frame->payload.len);
        }
        break;
    case STREAM_WINDOW:
        stage->granted += frame->window;
        break;
    case STREAM_FIN:
        stage->fins++;
        if (stage->on_fin != NULL) {
            stage->on_fin(stage);
        }
        break;
    case STREAM_RESET:
        stage->resets++;
        break;
    default:
        fail_msg("kind %d", (int)frame->kind);
    }
}

int rest_stage_open(void **state)
{
    struct rest_stage *stage = calloc(1, sizeof *stage);
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 32];
    assert_non_null(stage);
    agent_stage_open(&stage->agent);
    struct gateway *gateway = &stage->agent.gateway;
    struct gateway_config *config = &stage->agent.config;
    (void)snprintf(config->api_url, sizeof config->api_url, "http://h");
    (void)snprintf(config->file_url_secret, sizeof config->file_url_secret,
                   "0123456789abcdef0123456789abcdef");
    folder_make(stage->auth_folder);
    (void)snprintf(url, sizeof url, "ipc://%s/auth.sock", stage->auth_folder);
    stage->auth = ipc_server_open(gateway->loop, url, (uid_t)-1, methods,
                                  sizeof methods / sizeof methods[0], stage, &err);
    gateway->auth_service = ipc_client_open(gateway->loop, url, "auth-service", &err);
    record_stage_open(&stage->records, gateway->loop, RECORD_ALL_DATA);
    gateway->recorder = stage->records.recorder;
    gateway->keys = key_cache_new(gateway->auth_service, &err);
    gateway->discards = discards_new(gateway, &err);
    gateway->requests = requests_new(gateway->loop, &err);
    gateway->http = http_server_new(gateway->loop, &http_default_limits, on_request, &err);
    assert_non_null(gateway->http);
    key_cache_set_trusted(gateway->keys, true);
    stage->http.loop = gateway->loop;
    stage->http.server = gateway->http;
    stage->http.listener = http_listen_tcp(gateway->http, "127.0.0.1", 0, stage, &err);
    assert_non_null(stage->http.listener);
    stage->agent.on_text = on_text;
    stage->agent.on_frame = on_frame;
    stage->agent.arg = stage;
    stage->grants = true;
    stage->asked = STR_INIT(REST_ASKED_MAX);
    stage->taken = STR_INIT(REST_ASKED_MAX);
    stage->client.fd = -1;
    *state = stage;
    return 0;
}

static void close_client(struct rest_stage *stage)
{
    if (stage->client.fd >= 0) {
        client_close(&stage->client);
        stage->client.fd = -1;
    }
}

int rest_stage_close(void **state)
{
    struct rest_stage *stage = *state;
    struct gateway *gateway = &stage->agent.gateway;
    close_client(stage);
    http_server_free(gateway->http);
    requests_free(gateway->requests);
    discards_free(gateway->discards);
    key_cache_free(gateway->keys);
    record_stage_close(&stage->records);
    ipc_client_close(gateway->auth_service);
    ipc_server_close(stage->auth);
    agent_stage_close(&stage->agent);
    folder_remove(stage->auth_folder);
    str_free(&stage->asked);
    str_free(&stage->taken);
    free(stage);
    return 0;
}

static void connect_client(struct rest_stage *stage)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_listener_port(stage->http.listener)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    close_client(stage);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    client_adopt(&stage->client, &stage->http, fd);
}

void rest_send(struct rest_stage *stage, const char *line, const char *headers, struct view body)
{
    struct str text = STR_INIT(REST_ASKED_MAX);
    connect_client(stage);
    str_appendf(&text, "%s HTTP/1.1\r\nHost: h\r\n%s\r\n%s", line,
                stage->is_person ? "Authorization: Bearer " REST_TOKEN : "X-API-Key: " REST_KEY,
                headers);
    if (body.len > 0) {
        str_appendf(&text, "Content-Length: %zu\r\n", body.len);
    }
    str_append_string(&text, "\r\n");
    str_append_view(&text, body);
    assert_false(text.failed);
    client_send(&stage->client, str_view(&text));
    str_free(&text);
}

struct reply rest_ask(struct rest_stage *stage, const char *line, const char *headers,
                      struct view body)
{
    rest_send(stage, line, headers, body);
    return client_next(&stage->client, strncmp(line, "HEAD", 4) == 0);
}

struct waited {
    struct rest_stage *stage;
    const char *text;
    int count;
};

static bool has_received(void *arg)
{
    const struct waited *waited = arg;
    client_receive(&waited->stage->client);
    return view_has(str_view(&waited->stage->client.received), waited->text);
}

static bool was_asked(void *arg)
{
    const struct waited *waited = arg;
    return waited->stage->requests >= waited->count;
}

static bool was_reset(void *arg)
{
    const struct waited *waited = arg;
    return waited->stage->resets >= waited->count;
}

static bool has_ended(void *arg)
{
    const struct waited *waited = arg;
    client_receive(&waited->stage->client);
    return waited->stage->client.ended;
}

static void wait_until(struct rest_stage *stage, bool (*condition)(void *arg),
                       struct waited *waited)
{
    waited->stage = stage;
    turn_until_true(stage->http.loop, condition, waited);
}

void rest_wait_for(struct rest_stage *stage, const char *text)
{
    wait_until(stage, has_received, &(struct waited){.text = text});
}

void rest_wait_requests(struct rest_stage *stage, int requests)
{
    wait_until(stage, was_asked, &(struct waited){.count = requests});
}

void rest_wait_resets(struct rest_stage *stage, int resets)
{
    wait_until(stage, was_reset, &(struct waited){.count = resets});
}

void rest_wait_end(struct rest_stage *stage)
{
    wait_until(stage, has_ended, &(struct waited){0});
}

void rest_answer(struct rest_stage *stage, const char *members)
{
    agent_say(&stage->agent, "{\"id\":\"%s\",%s}", stage->id, members);
}

void assert_asked(const struct rest_stage *stage, const char *part)
{
    if (!view_has(str_view(&stage->asked), part)) {
        fail_msg("%s is not in %s", part, stage->asked.data == NULL ? "" : stage->asked.data);
    }
}

void assert_received(const struct rest_stage *stage, const char *part)
{
    if (!view_has(str_view(&stage->client.received), part)) {
        fail_msg("%s is not in %s", part,
                 stage->client.received.data == NULL ? "" : stage->client.received.data);
    }
}
