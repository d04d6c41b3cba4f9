#include "tests/unit/gateway/agent_stage.h"

#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/hub/arrival.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define INFO(status, end_reason)                                                                   \
    "{\"sandboxId\":\"" STAGE_SANDBOX_ID "\",\"userId\":\"11111111-1111-4111-8111-111111111111\"," \
    "\"apiKeyId\":\"22222222-2222-4222-8222-222222222222\",\"template\":\"base\","                 \
    "\"tier\":\"free\",\"network\":\"none\",\"status\":\"" status "\"," end_reason                 \
    "\"createdAt\":\"2026-01-01T00:00:00.000Z\",\"expiresAt\":\"2026-01-01T02:00:00.000Z\","       \
    "\"metadata\":{},\"memoryMB\":512,\"cpuMilli\":1000,\"lifetimeHours\":2,"                      \
    "\"container\":{\"running\":false,\"status\":\"\",\"exitCode\":0,\"error\":\"\"}}"

enum { TEXT_MAX = 4096, SAID_MAX = 128 * 1024 };

static void serve_get(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    const struct agent_stage *stage = arg;
    ipc_reply_ok(exchange, stage->sandbox_ended ? VIEW(INFO("destroyed", "\"endReason\":\"user\","))
                                                : VIEW(INFO("running", "")));
}

static void adopt_agent(struct agent_stage *stage, const char *hello_more);

static void serve_create(struct ipc_exchange *exchange, const struct ipc_request *request,
                         void *arg)
{
    struct agent_stage *stage = arg;
    struct sandbox_create body;
    struct err err = {0};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &sandbox_create_schema, &body, NULL, &err);
    assert_non_null(doc);
    stage->creates++;
    str_clear(&stage->created);
    str_append_view(&stage->created, request->body);
    if (stage->create_refusal != NULL) {
        err_set_reason(&err, ERR_NOT_FOUND, stage->create_refusal, "refused");
        stage->create_refusal = NULL;
        ipc_reply_error(exchange, &err);
        return;
    }
    agent_vanish(stage);
    memcpy(stage->sandbox_id, body.sandbox_id, ID_SIZE);
    adopt_agent(stage, "");
    char info[] = INFO("running", "");
    memcpy(info + sizeof "{\"sandboxId\":\"" - 1, body.sandbox_id, ID_SIZE - 1);
    ipc_reply_ok(exchange, view_of(info));
}

static void serve_destroy(struct ipc_exchange *exchange, const struct ipc_request *request,
                          void *arg)
{
    struct agent_stage *stage = arg;
    struct sandbox_destroy body;
    struct err err = {0};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &sandbox_destroy_schema, &body, NULL, &err);
    assert_non_null(doc);
    assert_string_equal(body.sandbox_id, stage->sandbox_id);
    if (stage->destroys_refused > 0) {
        stage->destroys_refused--;
        err_set(&err, ERR_UNAVAILABLE, "no database");
        ipc_reply_error(exchange, &err);
        return;
    }
    stage->destroys++;
    ipc_reply_ok(exchange, VIEW("{}"));
}

static const struct ipc_method methods[] = {
    {SANDBOX_GET, serve_get}, {SANDBOX_CREATE, serve_create}, {SANDBOX_DESTROY, serve_destroy}};

static void on_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct agent_stage *stage = arg;
    struct json_envelope envelope;
    struct stream_frame frame;
    struct err err = {0};
    if (opcode == WS_BINARY) {
        assert_true(stream_frame_read(message, &frame, &err));
        if (stage->on_frame != NULL) {
            stage->on_frame(&frame, stage->arg);
        }
        return;
    }
    assert_true(json_scan_envelope(message, &envelope, &err));
    if (view_equal(envelope.type, VIEW("configure"))) {
        agent_say(stage, "{\"id\":\"configure\",\"type\":\"configureResponse\"}");
    } else if (stage->on_text != NULL) {
        stage->on_text(message, &envelope, stage->arg);
    }
}

static void on_closed(int code, void *arg)
{
    struct agent_stage *stage = arg;
    stage->agent_closed = true;
    stage->agent_close_code = code;
    agent_vanish(stage);
}

static struct bufferevent *wrap(struct agent_stage *stage, int fd)
{
    struct bufferevent *bev =
        bufferevent_socket_new(loop_base(stage->gateway.loop), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(bev);
    return bev;
}

static bool is_ready(void *arg)
{
    const struct agent_stage *stage = arg;
    return hub_is_ready(stage->gateway.hub, stage->sandbox_id);
}

static void adopt_agent(struct agent_stage *stage, const char *hello_more)
{
    static const struct ws_events events = {.on_message = on_message, .on_closed = on_closed};
    struct err err = {0};
    int fds[2];
    struct str configure = STR_INIT(TEXT_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    str_append_string(&configure, "{\"id\":\"configure\",\"type\":\"configure\"}");
    hub_adopt(stage->gateway.hub, stage->sandbox_id, wrap(stage, fds[0]), &configure);
    stage->agent_bev = wrap(stage, fds[1]);
    stage->agent = ws_socket_new(stage->gateway.loop, WS_CLIENT, stage->agent_bev,
                                 &ws_answering_limits, &events, stage, &err);
    assert_non_null(stage->agent);
    agent_say(stage, "{\"type\":\"hello\",\"protocol\":1,\"version\":\"test\"%s}", hello_more);
}

static void connect_agent(struct agent_stage *stage, const char *hello_more)
{
    adopt_agent(stage, hello_more);
    turn_until_true(stage->gateway.loop, is_ready, stage);
}

void agent_stage_open(struct agent_stage *stage)
{
    struct gateway *gateway = &stage->gateway;
    struct err err = {0};
    char path[FOLDER_PATH_SIZE + 32];
    memcpy(stage->sandbox_id, STAGE_SANDBOX_ID, ID_SIZE);
    stage->created = STR_INIT(TEXT_MAX);
    folder_make(stage->folder);
    (void)snprintf(path, sizeof path, "%s/agents", stage->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/locks", stage->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(stage->config.run_dir, sizeof stage->config.run_dir, "%s", stage->folder);
    (void)snprintf(path, sizeof path, "ipc://%s/services.sock", stage->folder);
    gateway->config = &stage->config;
    gateway->loop = loop_new(&err);
    stage->services = ipc_server_open(gateway->loop, path, (uid_t)-1, methods,
                                      sizeof methods / sizeof methods[0], stage, &err);
    gateway->sandbox_service = ipc_client_open(gateway->loop, path, "sandbox-service", &err);
    gateway->sandboxes = sandbox_cache_new(gateway->sandbox_service, &err);
    assert_non_null(gateway->sandboxes);
    sandbox_cache_set_trusted(gateway->sandboxes, true);
    gateway->hub = hub_new(gateway, &err);
    assert_non_null(gateway->hub);
    connect_agent(stage, ",\"smallWindows\":true");
}

static bool is_away(void *arg)
{
    return !is_ready(arg);
}

void agent_come_back_older(struct agent_stage *stage)
{
    agent_vanish(stage);
    turn_until_true(stage->gateway.loop, is_away, stage);
    connect_agent(stage, "");
}

void agent_stage_close(struct agent_stage *stage)
{
    struct gateway *gateway = &stage->gateway;
    agent_vanish(stage);
    hub_free(gateway->hub);
    sandbox_cache_free(gateway->sandboxes);
    ipc_client_close(gateway->sandbox_service);
    ipc_server_close(stage->services);
    loop_free(gateway->loop);
    str_free(&stage->created);
    folder_remove(stage->folder);
}

void agent_say(struct agent_stage *stage, const char *format, ...)
{
    char text[SAID_MAX];
    struct err err = {0};
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is just above */
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_in_range(length, 0, SAID_MAX - 1);
    const struct view part = {text, (size_t)length};
    assert_true(ws_send(stage->agent, WS_TEXT, &part, 1, &err));
}

void agent_send(struct agent_stage *stage, uint32_t stream_id, enum stream_kind kind,
                struct view payload)
{
    char header[STREAM_HEADER_SIZE];
    struct err err = {0};
    stream_header_write(stream_id, kind, header);
    const struct view parts[] = {{header, sizeof header}, payload};
    assert_true(ws_send(stage->agent, WS_BINARY, parts, sizeof parts / sizeof parts[0], &err));
}

void agent_send_window(struct agent_stage *stage, uint32_t stream_id, uint32_t bytes)
{
    char window[STREAM_WINDOW_SIZE];
    stream_window_write(bytes, window);
    agent_send(stage, stream_id, STREAM_WINDOW, (struct view){window, sizeof window});
}

void agent_vanish(struct agent_stage *stage)
{
    ws_socket_free(stage->agent);
    stage->agent = NULL;
    stage->agent_bev = NULL;
}

void agent_set_reading(struct agent_stage *stage, bool on)
{
    if (on) {
        (void)bufferevent_enable(stage->agent_bev, EV_READ);
    } else {
        (void)bufferevent_disable(stage->agent_bev, EV_READ);
    }
}
