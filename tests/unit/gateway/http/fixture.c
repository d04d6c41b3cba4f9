#include "tests/unit/gateway/http/fixture.h"

#include "common/base/clock.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>

enum { WAIT_MS = 30000 };

const struct http_limits fixture_short_limits = {
    .connections_max = 4,
    .connections_per_address_max = 2,
    .exempt_cidrs = "",
    .head_timeout_ms = 100,
    .idle_timeout_ms = 200,
    .body_gap_ms = 100,
    .body_timeout_ms = 300,
    .write_stall_ms = 100,
    .stream_stall_ms = 300,
};

static void respond(struct http_exchange *exchange, struct view body)
{
    const struct http_response response = {
        .status = 200, .content_type = "text/plain", .body = body};
    http_respond(exchange, &response);
}

static void on_echo(struct http_exchange *exchange, struct view body, void *arg)
{
    (void)arg;
    respond(exchange, body);
}

static void on_bulk(struct http_exchange *exchange, struct view body, void *arg)
{
    (void)arg;
    char text[32];
    (void)snprintf(text, sizeof text, "%zu", body.len);
    respond(exchange, view_of(text));
}

static void respond_head(struct http_exchange *exchange)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    const struct http_head *head = http_exchange_head(exchange);
    AUTO(str_free) struct str text = STR_INIT(SCRATCH_MAX);
    str_appendf(&text, "%s %.*s ?%.*s host=%.*s body=%d upgrade=%d", names[head->method],
                (int)head->path.len, head->path.ptr, (int)head->query.len, head->query.ptr,
                (int)head->host.len, head->host.ptr, head->has_body, head->wants_upgrade);
    respond(exchange, str_view(&text));
}

static void respond_big(struct http_exchange *exchange)
{
    AUTO(free_string) char *body = malloc(BIG_BODY);
    assert_non_null(body);
    memset(body, 'x', BIG_BODY);
    respond(exchange, (struct view){body, BIG_BODY});
}

static void respond_error(struct http_exchange *exchange)
{
    struct err err = {0};
    err_set(&err, ERR_INTERNAL, "a \"secret\" detail");
    http_respond_err(exchange, &err);
}

static void respond_empty(struct http_exchange *exchange)
{
    const struct http_response response = {.status = 204};
    http_respond(exchange, &response);
}

static void on_gone(void *arg)
{
    struct fixture *fixture = arg;
    fixture->held = NULL;
    fixture->gone++;
}

static void upgrade(struct fixture *fixture, struct http_exchange *exchange)
{
    const struct http_header headers[] = {{VIEW("Upgrade"), VIEW("websocket")},
                                          {VIEW("Connection"), VIEW("Upgrade")}};
    if (fixture->take_place) {
        fixture->place = http_exchange_take_place(exchange);
    }
    fixture->switched = http_upgrade(exchange, headers, 2);
    assert_non_null(fixture->switched);
}

static void on_request(struct http_exchange *exchange, void *arg)
{
    struct fixture *fixture = arg;
    struct view path = http_exchange_head(exchange)->path;
    fixture->requests++;
    if (view_equal(path, VIEW("/echo"))) {
        http_on_gone(exchange, on_gone, fixture);
        http_read_body(exchange, ECHO_MAX, on_echo, fixture);
    } else if (view_equal(path, VIEW("/bulk"))) {
        http_read_body(exchange, BULK_MAX, on_bulk, fixture);
    } else if (view_equal(path, VIEW("/hold"))) {
        fixture->held = exchange;
        http_on_gone(exchange, on_gone, fixture);
    } else if (view_equal(path, VIEW("/switch"))) {
        upgrade(fixture, exchange);
    } else if (view_equal(path, VIEW("/custom"))) {
        fixture->on_custom(exchange, fixture->custom_arg);
    } else if (view_equal(path, VIEW("/big"))) {
        respond_big(exchange);
    } else if (view_equal(path, VIEW("/error"))) {
        respond_error(exchange);
    } else if (view_equal(path, VIEW("/empty"))) {
        respond_empty(exchange);
    } else if (view_equal(path, VIEW("/none"))) {
        respond(exchange, VIEW("none"));
    } else {
        respond_head(exchange);
    }
}

static int listen_unix(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Only the family: the kernel picks a free abstract name. */
    const struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

static int connect_unix(int listening_fd)
{
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(listening_fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, len), 0);
    return fd;
}

static int unix_listener; /* the fixture's; one test runs at a time */

void fixture_open(struct fixture *fixture, const struct http_limits *limits)
{
    struct err err = {0};
    *fixture = (struct fixture){.loop = loop_new(&err)};
    fixture->server = http_server_new(fixture->loop, limits, on_request, &err);
    assert_non_null(fixture->server);
    unix_listener = listen_unix();
    fixture->listener = http_listen_unix(fixture->server, unix_listener, fixture, &err);
    assert_non_null(fixture->listener);
}

void fixture_close(struct fixture *fixture)
{
    if (fixture->switched != NULL) {
        bufferevent_free(fixture->switched);
    }
    http_place_free(fixture->place);
    http_server_free(fixture->server);
    loop_free(fixture->loop);
}

void fixture_settle(struct fixture *fixture)
{
    for (int i = 0; i < 4; i++) {
        (void)event_base_loop(loop_base(fixture->loop), EVLOOP_NONBLOCK);
    }
}

void fixture_run(struct fixture *fixture, int ms)
{
    const struct timeval time = {.tv_usec = (suseconds_t)ms * 1000};
    (void)event_base_loopexit(loop_base(fixture->loop), &time);
    (void)event_base_dispatch(loop_base(fixture->loop));
}

void fixture_release(struct fixture *fixture, const char *body)
{
    struct http_exchange *exchange = TAKE(fixture->held);
    assert_non_null(exchange);
    respond(exchange, view_of(body));
}

void client_adopt(struct client *client, struct fixture *fixture, int fd)
{
    *client =
        (struct client){.fixture = fixture, .fd = fd, .received = STR_INIT(CLIENT_RECEIVED_MAX)};
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

void client_open(struct client *client, struct fixture *fixture)
{
    client_adopt(client, fixture, connect_unix(unix_listener));
    fixture_settle(fixture);
}

void client_close(struct client *client)
{
    close_fd(&client->fd);
    client->fd = -1;
    str_free(&client->received);
    fixture_settle(client->fixture);
}

void scene_open(struct scene *scene, const struct http_limits *limits)
{
    fixture_open(&scene->fixture, limits);
    client_open(&scene->client, &scene->fixture);
}

void scene_close(struct scene *scene)
{
    client_close(&scene->client);
    fixture_close(&scene->fixture);
}

void client_receive(struct client *client)
{
    char buffer[64 * 1024];
    ssize_t len;
    while (!client->ended && (len = recv(client->fd, buffer, sizeof buffer, 0)) >= 0) {
        client->ended = len == 0;
        str_append(&client->received, buffer, (size_t)len);
    }
    if (!client->ended && errno != EAGAIN) {
        client->ended = true;
        client->was_reset = errno == ECONNRESET;
    }
    assert_false(client->received.failed);
}

void client_send(struct client *client, struct view bytes)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (bytes.len > 0) {
        ssize_t sent = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            break; /* the server has closed: the test sees that in what it receives */
        }
        bytes = view_from(bytes, sent < 0 ? 0 : (size_t)sent);
        fixture_settle(client->fixture);
        client_receive(client);
        assert_true(clock_monotonic_ms() < deadline_ms);
    }
}

void client_trickle(struct client *client, struct view bytes)
{
    for (size_t i = 0; i < bytes.len && !client->ended; i++) {
        client_send(client, (struct view){bytes.ptr + i, 1});
    }
}

/* One turn of the loop, which may wait a little for a timer or for bytes. */
static void turn(struct client *client, int64_t deadline_ms)
{
    const struct timeval at_most = {.tv_usec = 5000};
    (void)event_base_loopexit(loop_base(client->fixture->loop), &at_most);
    (void)event_base_loop(loop_base(client->fixture->loop), EVLOOP_ONCE);
    client_receive(client);
    assert_true(clock_monotonic_ms() < deadline_ms);
}

void client_wait_end(struct client *client)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (!client->ended) {
        turn(client, deadline_ms);
    }
}

static struct view find_header(struct view head, const char *name)
{
    struct view wanted = view_of(name);
    while (head.len > 0) {
        const char *end = memmem(head.ptr, head.len, "\r\n", 2);
        struct view line = {head.ptr, end == NULL ? head.len : (size_t)(end - head.ptr)};
        head = view_from(head, end == NULL ? line.len : line.len + 2);
        if (line.len > wanted.len && line.ptr[wanted.len] == ':' &&
            view_equal_nocase((struct view){line.ptr, wanted.len}, wanted)) {
            return view_from(line, wanted.len + 2);
        }
    }
    return (struct view){0};
}

struct view reply_header(const struct reply *reply, const char *name)
{
    return find_header(reply->head, name);
}

static bool parse_reply(struct view received, bool bodiless, struct reply *reply)
{
    const char *end = received.len == 0 ? NULL : memmem(received.ptr, received.len, "\r\n\r\n", 4);
    if (end == NULL) {
        return false;
    }
    reply->head = (struct view){received.ptr, (size_t)(end - received.ptr) + 2};
    assert_true(view_starts_with(reply->head, VIEW("HTTP/1.1 ")));
    reply->status = (int)strtol(reply->head.ptr + strlen("HTTP/1.1 "), NULL, 10);
    struct view length = find_header(reply->head, "Content-Length");
    size_t body_len = length.len == 0 || bodiless ? 0 : strtoul(length.ptr, NULL, 10);
    reply->body = view_from(received, reply->head.len + 2);
    if (reply->body.len < body_len) {
        return false;
    }
    reply->body.len = body_len;
    return true;
}

struct reply client_next(struct client *client, bool bodiless)
{
    struct reply reply = {0};
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (!parse_reply(view_from(str_view(&client->received), client->read), bodiless, &reply)) {
        if (client->ended) {
            return (struct reply){0};
        }
        turn(client, deadline_ms);
    }
    client->read += reply.head.len + 2 + reply.body.len;
    return reply;
}

bool view_has(struct view text, const char *part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

void assert_view(struct view actual, const char *expected)
{
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.ptr, expected, actual.len);
}
