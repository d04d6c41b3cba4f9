#include "tests/unit/gateway/port_stage.h"

#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define USER "22222222-2222-4222-8222-222222222222"
#define GENERATION_BUT_LAST "33333333-3333-4333-8333-33333333333"
#define TIME "2026-01-31T23:59:59.123Z"
#define SECRET "a secret of this test, of 32 bytes or more"

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct port_stage *fixture = arg;
    fixture->asked++;
    ipc_reply_ok(exchange, view_of(fixture->answer));
}

static const struct ipc_method methods[] = {{PORT_LIST, serve}};

static void on_agent_text(struct view text, const struct json_envelope *envelope, void *arg)
{
    (void)text;
    struct port_stage *fixture = arg;
    assert_true(view_equal(envelope->type, VIEW("dial")));
    assert_in_range(fixture->dials, 0, PORT_STAGE_STREAMS_MAX - 1);
    fixture->streams[fixture->dials++] = envelope->stream_id;
    fixture->credit = STREAM_WINDOW_INITIAL;
    if (fixture->silent) {
        return;
    }
    if (fixture->dial_error != NULL) {
        agent_say(&fixture->stage, "{\"id\":\"%.*s\",\"type\":\"error\",\"code\":\"%s\"}",
                  (int)envelope->id.len, envelope->id.ptr, fixture->dial_error);
        return;
    }
    agent_say(&fixture->stage, "{\"id\":\"%.*s\",\"type\":\"dialResponse\",\"streamId\":%u}",
              (int)envelope->id.len, envelope->id.ptr, envelope->stream_id);
}

static void echo(struct port_stage *fixture, const struct stream_frame *frame)
{
    if (!fixture->mute) {
        agent_send_window(&fixture->stage, frame->id, (uint32_t)frame->payload.len);
        agent_send(&fixture->stage, frame->id, STREAM_DATA, frame->payload);
    }
}

static void on_agent_frame(const struct stream_frame *frame, void *arg)
{
    struct port_stage *fixture = arg;
    switch (frame->kind) {
    case STREAM_DATA:
        fixture->bytes += frame->payload.len;
        echo(fixture, frame);
        break;
    case STREAM_WINDOW:
        fixture->credit += frame->window;
        break;
    case STREAM_FIN:
        fixture->fin = true;
        if (!fixture->mute) {
            agent_send(&fixture->stage, frame->id, STREAM_FIN, (struct view){0});
        }
        break;
    case STREAM_RESET:
        fixture->reset = true;
        break;
    default:
        fail_msg("unexpected frame");
    }
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

/* A socket that listens on port; 0: on any, which is told. */
int port_stage_listen_on(uint16_t *port)
{
    struct sockaddr_in address = loopback(*port);
    socklen_t len = sizeof address;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* -1: nobody listens. */
int port_stage_try_connect(const struct port_stage *fixture)
{
    const struct sockaddr_in address = loopback(fixture->host_port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        assert_int_equal(errno, ECONNREFUSED);
        (void)close(fd);
        return -1;
    }
    assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
    return fd;
}

void port_stage_expose_as(struct port_stage *fixture, const char *visibility, char generation)
{
    (void)snprintf(fixture->answer, sizeof fixture->answer,
                   "{\"userId\":\"" USER "\",\"ports\":[\"%d %u %s " GENERATION_BUT_LAST "%c " TIME
                   "\"],\"isLive\":true}",
                   PORT_STAGE_CONTAINER_PORT, (unsigned)fixture->host_port, visibility, generation);
}

void port_stage_expose(struct port_stage *fixture)
{
    port_stage_expose_as(fixture, PORT_TOKEN, '4');
}

void port_stage_expose_nothing(struct port_stage *fixture)
{
    (void)snprintf(fixture->answer, sizeof fixture->answer,
                   "{\"userId\":\"" USER "\",\"ports\":[],\"isLive\":true}");
}

bool port_stage_is_listening(void *arg)
{
    int fd = port_stage_try_connect(arg);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

bool port_stage_is_not_listening(void *arg)
{
    return !port_stage_is_listening(arg);
}

void port_stage_on_wait_done(const struct err *err, void *arg)
{
    struct port_stage *fixture = arg;
    fixture->done = true;
    fixture->err = err == NULL ? (struct err){0} : *err;
}

void port_stage_begin_wait(struct port_stage *fixture)
{
    struct err err = {0};
    fixture->done = false;
    assert_non_null(host_ports_wait_begin(fixture->ports, STAGE_SANDBOX_ID,
                                          PORT_STAGE_CONTAINER_PORT, port_stage_on_wait_done,
                                          fixture, &err));
}

void port_stage_wait_for_port(struct port_stage *fixture)
{
    port_stage_begin_wait(fixture);
    turn_until(fixture->stage.gateway.loop, &fixture->done);
}

static bool has_dialled(void *arg)
{
    const struct port_stage *fixture = arg;
    return fixture->dials > 0;
}

/* A client whose connection has reached the agent. */
void port_stage_connect_client(struct port_stage *fixture)
{
    port_stage_wait_for_port(fixture);
    assert_int_equal(fixture->err.code, ERR_NONE);
    fixture->fd = port_stage_try_connect(fixture);
    assert_true(fixture->fd >= 0);
    turn_until_true(fixture->stage.gateway.loop, has_dialled, fixture);
}

void port_stage_take_bytes(struct port_stage *fixture)
{
    static char buffer[64 * 1024];
    ssize_t len;
    while ((len = recv(fixture->fd, buffer, sizeof buffer, 0)) > 0) {
        fixture->received += (size_t)len;
    }
    fixture->ended = fixture->ended || len == 0;
    if (len < 0 && errno != EAGAIN) {
        fixture->failure = errno;
    }
}

bool port_stage_has_ended(void *arg)
{
    struct port_stage *fixture = arg;
    port_stage_take_bytes(fixture);
    return fixture->ended || fixture->failure != 0;
}

void port_stage_start_ports(struct port_stage *fixture)
{
    const struct host_ports_options options = {.loop = fixture->stage.gateway.loop,
                                               .config = &fixture->stage.config,
                                               .exposed = fixture->exposed,
                                               .hub = fixture->stage.gateway.hub};
    struct err err = {0};
    fixture->ports = host_ports_new(&options, &err);
    assert_non_null(fixture->ports);
    hub_observe(fixture->stage.gateway.hub, &host_ports_observer, fixture->ports);
    host_ports_observer.on_ready(STAGE_SANDBOX_ID, fixture->ports);
}

int port_stage_open(void **state)
{
    struct port_stage *fixture = calloc(1, sizeof *fixture);
    struct gateway_config *config = &fixture->stage.config;
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 16];
    fixture->fd = -1;
    agent_stage_open(&fixture->stage);
    fixture->stage.on_text = on_agent_text;
    fixture->stage.on_frame = on_agent_frame;
    fixture->stage.arg = fixture;
    (void)close(port_stage_listen_on(&fixture->host_port)); /* free, as far as one can know */
    (void)snprintf(config->host_port_address, sizeof config->host_port_address, "127.0.0.1");
    config->host_port_first = fixture->host_port;
    config->host_port_last = fixture->host_port;
    config->connections_max = 1000;
    (void)snprintf(url, sizeof url, "ipc://%s/ports", fixture->stage.folder);
    fixture->server =
        ipc_server_open(fixture->stage.gateway.loop, url, (uid_t)-1, methods, 1, fixture, &err);
    fixture->client = ipc_client_open(fixture->stage.gateway.loop, url, "sandbox-service", &err);
    fixture->exposed = exposed_cache_new(fixture->client, SECRET, &err);
    assert_non_null(fixture->exposed);
    port_stage_expose(fixture);
    port_stage_start_ports(fixture);
    *state = fixture;
    return 0;
}

int port_stage_close(void **state)
{
    struct port_stage *fixture = *state;
    if (fixture->fd >= 0) {
        (void)close(fixture->fd);
    }
    hub_observe(fixture->stage.gateway.hub, NULL, NULL);
    host_ports_free(fixture->ports);
    exposed_cache_free(fixture->exposed);
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    agent_stage_close(&fixture->stage);
    free(fixture);
    return 0;
}
