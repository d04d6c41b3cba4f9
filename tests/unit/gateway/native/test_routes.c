/* gateway/native from the client's socket to the services, which are played by one IPC server on
 * the same loop. */
#include "gateway/native/routes.h"

#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "tests/unit/gateway/http/fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY "isk_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define USER_ID "11111111-1111-4111-8111-111111111111"
#define KEY_ID "22222222-2222-4222-8222-222222222222"
#define SANDBOX_ID "33333333-3333-4333-8333-333333333333"

#define SANDBOX_INFO                                                                               \
    "{\"sandboxId\":\"" SANDBOX_ID "\",\"userId\":\"" USER_ID "\",\"apiKeyId\":\"" KEY_ID          \
    "\",\"template\":\"base\",\"tier\":\"free\",\"network\":\"none\",\"status\":\"destroyed\","    \
    "\"endReason\":\"user\",\"createdAt\":\"2026-01-01T00:00:00.000Z\","                           \
    "\"expiresAt\":\"2026-01-01T02:00:00.000Z\",\"endedAt\":\"2026-01-01T01:00:00.000Z\","         \
    "\"metadata\":{},\"memoryMB\":512,\"cpuMilli\":1000,\"lifetimeHours\":2,"                      \
    "\"container\":{\"running\":false,\"status\":\"removed\",\"exitCode\":0,\"error\":\"\"}}"

struct stage {
    struct fixture http; /* its loop and server, for the clients */
    struct gateway gateway;
    struct ipc_server *services;
    char folder[64];
    bool refuse_key;
    bool revoke_while_fetching;
    const char *page; /* what sandbox.list answers */
    struct str asked; /* the last sandbox.list */
};

static void serve_check_key(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    (void)request;
    const struct stage *stage = arg;
    if (stage->refuse_key) {
        struct err err = {0};
        err_set_reason(&err, ERR_UNAUTHENTICATED, "invalid_api_key", "no such key");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange, VIEW("{\"userId\":\"" USER_ID "\",\"apiKeyId\":\"" KEY_ID
                                "\",\"tier\":\"free\",\"expiresAtMs\":0}"));
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

static const struct ipc_method methods[] = {
    {AUTH_CHECK_KEY, serve_check_key},
    {SANDBOX_GET, serve_get},
    {SANDBOX_LIST, serve_list},
};

static void on_request(struct http_exchange *exchange, void *arg)
{
    const struct stage *stage = arg;
    routes_handle(&stage->gateway, exchange, NULL);
}

static int set_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    struct gateway *gateway = &stage->gateway;
    struct err err = {0};
    char url[128];
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
    gateway->requests = requests_new(gateway->loop, &err);
    gateway->http = http_server_new(gateway->loop, &http_default_limits, on_request, &err);
    assert_non_null(gateway->http);
    key_cache_set_trusted(gateway->keys, true);
    sandbox_cache_set_trusted(gateway->sandboxes, true);
    stage->http.loop = gateway->loop;
    stage->http.server = gateway->http;
    stage->http.listener = http_listen_tcp(gateway->http, "127.0.0.1", 0, stage, &err);
    assert_non_null(stage->http.listener);
    *state = stage;
    return 0;
}

static int clear_stage(void **state)
{
    struct stage *stage = *state;
    struct gateway *gateway = &stage->gateway;
    char path[128];
    http_server_free(gateway->http);
    requests_free(gateway->requests);
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

static void connect_client(struct client *client, struct stage *stage)
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

/* Sends one GET, with the key. The reply is valid until the client closes. */
static struct reply get(struct client *client, struct stage *stage, const char *target)
{
    char text[512];
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY "\r\n\r\n",
                   target);
    connect_client(client, stage);
    client_send(client, view_of(text));
    return client_next(client, false);
}

static void a_sandbox_that_ended_has_a_status(void **state)
{
    struct client client;
    struct reply reply = get(&client, *state, "/sandbox/" SANDBOX_ID "/status");
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"endReason\":\"user\""));
    client_close(&client);
}

static void a_key_revoked_while_its_request_waits_is_refused(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->revoke_while_fetching = true;
    struct reply reply = get(&client, stage, "/sandbox/" SANDBOX_ID "/status");
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"invalid_api_key\""));
    client_close(&client);
}

static void an_unreadable_answer_is_not_the_clients_mistake(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->page = "{\"sandboxes\":7}";
    struct reply reply = get(&client, stage, "/sandbox");
    assert_int_equal(reply.status, 500);
    assert_true(view_has(reply.body, "\"code\":\"internal_error\""));
    client_close(&client);
}

static void a_list_is_asked_for_with_exactly_its_parameters(void **state)
{
    static const struct {
        const char *name;
        const char *target;
        int status;
        const char *asked; /* a part of sandbox.list */
    } cases[] = {
        {"none", "/sandbox", 200, "\"limit\":50"},
        {"limit", "/sandbox?limit=7", 200, "\"limit\":7"},
        {"escaped name", "/sandbox?%6cimit=7", 200, "\"limit\":7"},
        {"cursor", "/sandbox?limit=7&cursor=abc", 200, "\"cursor\":\"abc\""},
        {"longer name", "/sandbox?xlimit=7", 200, "\"limit\":50"},
        {"longer name of a cursor", "/sandbox?xcursor=%2F", 200, "\"limit\":50"},
        {"name in a value", "/sandbox?a=limit=7", 200, "\"limit\":50"},
        {"too little", "/sandbox?limit=0", 400, NULL},
        {"too much", "/sandbox?limit=101", 400, NULL},
        {"nothing", "/sandbox?limit", 400, NULL},
        {"no number", "/sandbox?limit=7x", 400, NULL},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        str_clear(&stage->asked);
        struct reply reply = get(&client, stage, cases[i].target);
        if (reply.status != cases[i].status ||
            (cases[i].asked != NULL && !view_has(str_view(&stage->asked), cases[i].asked))) {
            fail_msg("%s", cases[i].name);
        }
        client_close(&client);
    }
}

static void a_parameter_that_ends_like_the_keys_is_no_key(void **state)
{
    struct client client;
    connect_client(&client, *state);
    client_send(&client, VIEW("GET /client/" SANDBOX_ID "?xapiKey=a HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"unauthenticated\""));
    client_close(&client);
}

static void a_session_of_a_socket_is_a_uuid(void **state)
{
    static const char *const targets[] = {
        "/client/" SANDBOX_ID "?session=7",
        "/client/" SANDBOX_ID "?a=1&session",
        "/client/" SANDBOX_ID "?%73ession=" SANDBOX_ID "0",
    };
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct client client;
        char text[512];
        (void)snprintf(text, sizeof text,
                       "GET %s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                       "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       targets[i]);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        assert_int_equal(reply.status, 400);
        assert_true(view_has(reply.body, "\"code\":\"invalid_session\""));
        client_close(&client);
    }
}

static void a_name_in_the_path_is_one_segment(void **state)
{
    static const struct {
        const char *target;
        int status;
    } cases[] = {
        {"/sandbox/a/status", 404},
        {"/sandbox/a%2Fb/status", 400},
        {"/sandbox/" SANDBOX_ID "%5c/status", 400},
        {"/sandbox/" SANDBOX_ID "/processes/a%2fb/output", 400},
        {"/agent/" SANDBOX_ID "%2f", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        struct reply reply = get(&client, *state, cases[i].target);
        if (reply.status != cases[i].status ||
            view_has(reply.body, "\"code\":\"bad_target\"") != (cases[i].status == 400)) {
            fail_msg("%s: %d", cases[i].target, reply.status);
        }
        client_close(&client);
    }
}

static void only_websocket_handshakes_open_a_socket(void **state)
{
    static const char start[] = "GET /client/" SANDBOX_ID " HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                                "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    static const struct {
        const char *name;
        const char *lines;
        int status;
        const char *code;
    } cases[] = {
        {"none", "", 400, "invalid_handshake"},
        {"no Connection", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", 400,
         "invalid_handshake"},
        {"another version",
         "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n", 426,
         "upgrade_required"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[512];
        (void)snprintf(text, sizeof text, "%s%s\r\n", start, cases[i].lines);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != cases[i].status || !view_has(reply.body, cases[i].code)) {
            fail_msg("%s: %d", cases[i].name, reply.status);
        }
        client_close(&client);
    }
}

static void other_methods_hear_which_there_are(void **state)
{
    static const struct {
        const char *request_line;
        const char *allow;
    } cases[] = {
        {"DELETE /health", "GET, HEAD"},
        {"PATCH /api/keys", "GET, HEAD, POST"},
        {"PUT /api/keys/" KEY_ID, "DELETE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[256];
        (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n\r\n", cases[i].request_line);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        assert_int_equal(reply.status, 405);
        assert_view(reply_header(&reply, "Allow"), cases[i].allow);
        client_close(&client);
    }
}

static void only_json_is_json(void **state)
{
    static const struct {
        const char *type;
        int status; /* 400: it was read, and is no JSON */
    } cases[] = {
        {"application/json", 400},
        {"Application/JSON", 400},
        {"application/json;charset=utf-8", 400},
        {"application/json ; Charset=UTF-8", 400},
        {"application/json; charset=\"utf-8\"", 400},
        {"application/json;", 400},
        {"application/jsoncharset=utf-8", 415},
        {"application/json charset=utf-8", 415},
        {"application/json; charset=latin1", 415},
        {"application/json; charset=\"utf-8", 415},
        {"application/json; charset = utf-8", 415},
        {"application/json; profile=x", 415},
        {"application/json+x", 415},
        {"text/json", 415},
        {"", 415},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[512];
        (void)snprintf(text, sizeof text,
                       "POST /sandbox/create HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                       "\r\nContent-Type: %s\r\nContent-Length: 1\r\n\r\n?",
                       cases[i].type);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != cases[i].status) {
            fail_msg("%s: %d", cases[i].type, reply.status);
        }
        client_close(&client);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_stage, clear_stage)
    const struct CMUnitTest tests[] = {
        TEST(a_sandbox_that_ended_has_a_status),
        TEST(a_key_revoked_while_its_request_waits_is_refused),
        TEST(an_unreadable_answer_is_not_the_clients_mistake),
        TEST(a_list_is_asked_for_with_exactly_its_parameters),
        TEST(a_parameter_that_ends_like_the_keys_is_no_key),
        TEST(a_session_of_a_socket_is_a_uuid),
        TEST(a_name_in_the_path_is_one_segment),
        TEST(only_websocket_handshakes_open_a_socket),
        TEST(other_methods_hear_which_there_are),
        TEST(only_json_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
