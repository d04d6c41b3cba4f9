/* gateway/native/ports.c from the client's socket to a sandbox-service and an agent of the test's
 * own. */
#include "common/contracts/ports.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/native/request.h"
#include "gateway/ports/host_ports.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/native/rest_stage.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define FIRST_GENERATION "44444444-4444-4444-8444-444444444444"
#define TIME "2026-01-31T23:59:59.123Z"
#define JSON "Content-Type: application/json\r\n"
#define ID32 "33333333333343338333333333333333"

enum { RANGE = 8, NOWHERE = -1, WHILE_MS = 50 };

/* The sandbox-service has one port at most. */
struct stage {
    struct rest_stage *rest;
    struct ipc_server *server;
    struct ipc_client *client;
    struct ipc_client *others; /* the stage's own, of its sandbox cache */
    bool is_exposed;
    struct port_row row;
    int exposes;
    const char *refusal; /* reason of PORT_EXPOSE */
    bool revokes;        /* the key ends while PORT_EXPOSE is answered */
    uint16_t first;
};
static struct stage stage;

static void answer_with(struct ipc_exchange *exchange, const char *before, const char *text,
                        const char *after)
{
    char body[512];
    int length = snprintf(body, sizeof body, "%s%s%s", before, text, after);
    ipc_reply_ok(exchange, (struct view){body, (size_t)length});
}

static void serve_expose(struct ipc_exchange *exchange, const struct ipc_request *request,
                         void *arg)
{
    (void)arg;
    struct port_expose wanted;
    struct err err = {0};
    char text[PORT_ROW_TEXT_SIZE];
    struct json_doc *doc = json_read(request->body, &port_expose_schema, &wanted, NULL, &err);
    assert_non_null(doc);
    stage.exposes++;
    if (stage.revokes) {
        requests_revoke(stage.rest->agent.gateway.requests, USER);
    }
    if (stage.refusal != NULL) {
        err_set_reason(&err, ERR_LIMIT, stage.refusal, "refused");
        ipc_reply_error(exchange, &err);
        json_doc_free(doc);
        return;
    }
    assert_string_equal(wanted.user_id, USER);
    uint16_t next = wanted.host_port_first == 0 ? 0
                    : wanted.taken_port == 0    ? stage.first
                                                : (uint16_t)(wanted.taken_port + 1);
    if (!stage.is_exposed || wanted.taken_port != 0) {
        stage.row = (struct port_row){
            .host_port = next, .generation = FIRST_GENERATION, .created_at = TIME};
    }
    stage.is_exposed = true;
    stage.row.container_port = (uint16_t)wanted.container_port;
    stage.row.is_public = view_equal(wanted.visibility, VIEW(PORT_PUBLIC));
    port_row_write(&stage.row, text);
    answer_with(exchange, "{\"port\":\"", text, "\"}");
    json_doc_free(doc);
}

static void serve_list(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    (void)arg;
    char text[PORT_ROW_TEXT_SIZE + 2] = "";
    char row[PORT_ROW_TEXT_SIZE];
    if (stage.is_exposed) {
        port_row_write(&stage.row, row);
        (void)snprintf(text, sizeof text, "\"%s\"", row);
    }
    answer_with(exchange, "{\"userId\":\"" USER "\",\"ports\":[", text, "],\"isLive\":true}");
}

static void serve_close(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    (void)arg;
    struct err err = {0};
    if (stage.is_exposed) {
        stage.is_exposed = false;
        ipc_reply_ok(exchange, VIEW("{}"));
        return;
    }
    err_set_reason(&err, ERR_NOT_FOUND, "port_not_found", "not exposed");
    ipc_reply_error(exchange, &err);
}

static const struct ipc_method methods[] = {
    {PORT_EXPOSE, serve_expose}, {PORT_LIST, serve_list}, {PORT_CLOSE, serve_close}};

/* A socket that listens on port, or on any; -1 when the port is somebody else's. */
static int listen_on(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0) {
        (void)close(fd);
        return NOWHERE;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static bool is_free(uint16_t port)
{
    int fd = listen_on(&port);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

/* The first of RANGE ports that are free. */
static uint16_t find_range(void)
{
    for (uint16_t first = 24000; first < 30000; first += RANGE) {
        int found = 0;
        while (found < RANGE && is_free((uint16_t)(first + found))) {
            found++;
        }
        if (found == RANGE) {
            return first;
        }
    }
    fail_msg("no free ports");
    return 0;
}

static void fill_config(struct gateway_config *config)
{
    stage.first = find_range();
    config->host_port_first = stage.first;
    config->host_port_last = stage.first + RANGE - 1;
    config->connections_max = 100;
    config->preview_port = 3000;
    (void)snprintf(config->host_port_address, sizeof config->host_port_address, "127.0.0.1");
    (void)snprintf(config->preview_domain, sizeof config->preview_domain, "localhost");
    (void)snprintf(config->preview_scheme, sizeof config->preview_scheme, "http");
    (void)snprintf(config->preview_secret, sizeof config->preview_secret,
                   "0123456789abcdef0123456789abcdef");
}

static int open_stage(void **state)
{
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 16];
    assert_int_equal(rest_stage_open(state), 0);
    stage = (struct stage){.rest = *state};
    struct gateway *gateway = &stage.rest->agent.gateway;
    fill_config(&stage.rest->agent.config);
    (void)snprintf(url, sizeof url, "ipc://%s/ports", stage.rest->auth_folder);
    stage.server = ipc_server_open(gateway->loop, url, (uid_t)-1, methods, 3, NULL, &err);
    stage.client = ipc_client_open(gateway->loop, url, "sandbox-service", &err);
    stage.others = gateway->sandbox_service;
    gateway->sandbox_service = stage.client;
    gateway->exposed =
        exposed_cache_new(stage.client, stage.rest->agent.config.preview_secret, &err);
    const struct host_ports_options options = {.loop = gateway->loop,
                                               .config = gateway->config,
                                               .exposed = gateway->exposed,
                                               .hub = gateway->hub};
    gateway->host_ports = host_ports_new(&options, &err);
    assert_non_null(gateway->host_ports);
    hub_observe(gateway->hub, &host_ports_observer, gateway->host_ports);
    host_ports_observer.on_ready(STAGE_SANDBOX_ID, gateway->host_ports);
    return 0;
}

static int close_stage(void **state)
{
    struct gateway *gateway = &stage.rest->agent.gateway;
    hub_observe(gateway->hub, NULL, NULL);
    host_ports_free(gateway->host_ports);
    exposed_cache_free(gateway->exposed);
    ipc_client_close(stage.client);
    ipc_server_close(stage.server);
    gateway->sandbox_service = stage.others;
    return rest_stage_close(state);
}

static struct reply expose(struct view body)
{
    return rest_ask(stage.rest, "POST " REST_SANDBOX "/expose", JSON, body);
}

static void assert_has(const struct reply *reply, const char *part)
{
    if (!view_has(reply->body, part)) {
        fail_msg("%s is not in %.*s", part, (int)reply->body.len, reply->body.ptr);
    }
}

/* The same with a number between two parts. */
static void assert_has_number(const struct reply *reply, const char *before, unsigned number,
                              const char *after)
{
    char part[128];
    (void)snprintf(part, sizeof part, "%s%u%s", before, number, after);
    assert_has(reply, part);
}

static void exposed_port_is_listened_on_when_the_answer_comes(void **state)
{
    (void)state;
    struct reply reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_int_equal(reply.status, 200);
    assert_has_number(&reply, "\"hostPort\":", (unsigned)stage.first, ",");
    assert_has_number(&reply, "\"url\":\"http://127.0.0.1:", (unsigned)stage.first, "\"");
    assert_has_number(&reply, "\"containerPort\":", 8080U, ",");
    assert_has_number(&reply, "\"previewUrl\":\"http://", 8080U, "-" ID32 ".localhost:3000\"");
    assert_has_number(&reply, "\"previewPath\":\"/preview/" STAGE_SANDBOX_ID "/", 8080U, "/\"");
    assert_has(&reply, "\"visibility\":\"token\"");
    assert_has(&reply, "\"token\":\"");
    assert_true(view_equal(reply_header(&reply, "Cache-Control"), VIEW("no-store")));
    assert_false(is_free(stage.first));
}

static void public_port_has_no_token(void **state)
{
    (void)state;
    struct reply reply = expose(VIEW("{\"containerPort\":8080,\"visibility\":\"public\"}"));
    assert_int_equal(reply.status, 200);
    assert_has(&reply, "\"visibility\":\"public\"");
    assert_false(view_has(reply.body, "\"token\""));
}

static void exposing_again_answers_the_same(void **state)
{
    (void)state;
    static char first[1024];
    struct reply reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_true(view_copy(reply.body, first, sizeof first));
    reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, first);
}

static void ports_of_others_on_this_machine_are_passed_over(void **state)
{
    (void)state;
    uint16_t second = (uint16_t)(stage.first + 1);
    int fds[] = {listen_on(&stage.first), listen_on(&second)};
    struct reply reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_int_equal(reply.status, 200);
    assert_has_number(&reply, "\"hostPort\":", stage.first + 2U, ",");
    assert_int_equal(stage.exposes, 3);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void without_a_range_there_are_previews_alone(void **state)
{
    (void)state;
    stage.rest->agent.config.host_port_first = 0;
    stage.rest->agent.config.host_port_last = 0;
    stage.rest->agent.config.preview_port = 80;
    struct reply reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_int_equal(reply.status, 200);
    assert_has(&reply, "\"hostPort\":null");
    assert_has_number(&reply, "\"url\":\"http://", 8080U, "-" ID32 ".localhost\"");
}

static void addresses_are_written_as_urls_want_them(void **state)
{
    (void)state;
    struct gateway_config *config = &stage.rest->agent.config;
    (void)snprintf(config->host_port_address, sizeof config->host_port_address, "::1");
    struct reply reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_has_number(&reply, "\"url\":\"http://[::1]:", (unsigned)stage.first, "\"");
    (void)snprintf(config->host_port_address, sizeof config->host_port_address, "0.0.0.0");
    reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_has_number(&reply, "\"url\":\"http://localhost:", (unsigned)stage.first, "\"");
}

static void bodies_that_name_no_port_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{}",
        "{\"containerPort\":0}",
        "{\"containerPort\":65536}",
        "{\"containerPort\":80.5}",
        "{\"containerPort\":\"80\"}",
        "{\"containerPort\":80,\"visibility\":\"everybody\"}",
        "[]",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (expose(view_of(wrong[i])).status != 400) {
            fail_msg("%s", wrong[i]);
        }
    }
    assert_int_equal(stage.exposes, 0);
}

static void refusals_of_the_service_are_told(void **state)
{
    (void)state;
    stage.refusal = "port_quota_exceeded";
    assert_int_equal(expose(VIEW("{\"containerPort\":8080}")).status, 429);
    stage.refusal = "host_ports_exhausted";
    struct reply reply = expose(VIEW("{\"containerPort\":8080}"));
    assert_int_equal(reply.status, 503);
    assert_has(&reply, "\"code\":\"host_ports_exhausted\"");
}

static void list_shows_what_is_exposed(void **state)
{
    (void)state;
    struct reply reply = rest_ask(stage.rest, "GET " REST_SANDBOX "/ports", "", (struct view){0});
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, "{\"sandboxId\":\"" STAGE_SANDBOX_ID "\",\"ports\":[]}");
    (void)expose(VIEW("{\"containerPort\":8080}"));
    reply = rest_ask(stage.rest, "GET " REST_SANDBOX "/ports", "", (struct view){0});
    assert_int_equal(reply.status, 200);
    assert_has(&reply,
               "\"ports\":[{\"sandboxId\":\"" STAGE_SANDBOX_ID "\",\"containerPort\":8080,");
    assert_has(&reply, "\"createdAt\":\"" TIME "\"");
    assert_has(&reply, "\"token\":\"");
}

static void closed_port_is_left_when_the_answer_comes(void **state)
{
    (void)state;
    (void)expose(VIEW("{\"containerPort\":8080}"));
    struct reply reply =
        rest_ask(stage.rest, "DELETE " REST_SANDBOX "/ports/8080", "", (struct view){0});
    assert_int_equal(reply.status, 200);
    assert_view(reply.body,
                "{\"success\":true,\"sandboxId\":\"" STAGE_SANDBOX_ID "\",\"containerPort\":8080}");
    assert_true(is_free(stage.first));
    reply = rest_ask(stage.rest, "DELETE " REST_SANDBOX "/ports/8080", "", (struct view){0});
    assert_int_equal(reply.status, 404);
    assert_has(&reply, "\"code\":\"port_not_found\"");
}

static void paths_that_name_no_port_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"0", "65536", "http", "-1", "8080x", "123456"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "DELETE " REST_SANDBOX "/ports/%s", wrong[i]);
        struct reply reply = rest_ask(stage.rest, line, "", (struct view){0});
        if (reply.status != 400 || !view_has(reply.body, "\"path\":\"containerPort\"")) {
            fail_msg("%s", wrong[i]);
        }
    }
}

static void ended_sandbox_has_no_ports_to_speak_of(void **state)
{
    (void)state;
    stage.rest->agent.sandbox_ended = true;
    assert_int_equal(expose(VIEW("{\"containerPort\":8080}")).status, 409);
    assert_int_equal(
        rest_ask(stage.rest, "GET " REST_SANDBOX "/ports", "", (struct view){0}).status, 409);
    assert_int_equal(
        rest_ask(stage.rest, "DELETE " REST_SANDBOX "/ports/80", "", (struct view){0}).status, 409);
    assert_int_equal(stage.exposes, 0);
}

static void client_that_leaves_while_it_is_exposed_is_forgotten(void **state)
{
    (void)state;
    rest_send(stage.rest, "POST " REST_SANDBOX "/expose", JSON, VIEW("{\"containerPort\":8080}"));
    turn_for(stage.rest->http.loop, 1);
    client_close(&stage.rest->client);
    stage.rest->client.fd = -1;
    turn_for(stage.rest->http.loop, 100);
}

static void whose_key_ends_while_it_is_exposed_is_forgotten(void **state)
{
    (void)state;
    stage.revokes = true;
    struct reply reply =
        rest_ask(stage.rest, "POST " REST_SANDBOX "/expose", JSON, VIEW("{\"containerPort\":80}"));
    assert_int_equal(reply.status, 401);
    turn_for(stage.rest->http.loop, WHILE_MS); /* the service's answer comes */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exposed_port_is_listened_on_when_the_answer_comes),
        TEST(public_port_has_no_token),
        TEST(exposing_again_answers_the_same),
        TEST(ports_of_others_on_this_machine_are_passed_over),
        TEST(without_a_range_there_are_previews_alone),
        TEST(addresses_are_written_as_urls_want_them),
        TEST(bodies_that_name_no_port_are_refused),
        TEST(refusals_of_the_service_are_told),
        TEST(list_shows_what_is_exposed),
        TEST(closed_port_is_left_when_the_answer_comes),
        TEST(paths_that_name_no_port_are_refused),
        TEST(ended_sandbox_has_no_ports_to_speak_of),
        TEST(client_that_leaves_while_it_is_exposed_is_forgotten),
        TEST(whose_key_ends_while_it_is_exposed_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
