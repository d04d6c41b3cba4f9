#include "tests/unit/http/server.h"

#include "common/base/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { LATER_MS = 30, LARGE = 100000 };

struct server {
    struct loop *loop;
    struct evconnlistener *listener;
    struct list connections;
    int accepted;
    int open;
    int requests;
};

struct connection {
    struct list node;
    struct server *server;
    struct bufferevent *stream;
    struct timer later;
    const char *rest; /* said after LATER_MS; "" closes */
};

/* What a path is answered: first at once, then (when not NULL) the rest after a while. A first part
 * of NULL is made by code. */
static const struct {
    const char *path;
    const char *first;
    const char *rest;
} answers[] = {
    {"/ok",
     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
     "{\"ok\":true}",
     NULL},
    {"/missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", NULL},
    {"/broken", "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", NULL},
    {"/empty", "HTTP/1.1 204 No Content\r\n\r\n", NULL},
    {"/redirect", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", NULL},
    {"/slow", "", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"},
    {"/silent", "", NULL},
    {"/held", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe", NULL},
    {"/refused", "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nno", ""},
    {"/hangup", "", ""},
    {"/cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", ""},
    {"/nonsense", "what is this\r\n\r\n", ""},
    {"/pieces", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
     "6\r\nsecond\r\n0\r\n\r\n"},
    {"/last", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast", ""},
    {"/echo", NULL, NULL},
    {"/large", NULL, NULL},
};

static void connection_free(struct connection *connection)
{
    connection->server->open--;
    list_remove(&connection->node);
    timer_close(&connection->later);
    bufferevent_free(connection->stream);
    free(connection);
}

static void say(struct connection *connection, const char *text)
{
    assert_int_equal(bufferevent_write(connection->stream, text, strlen(text)), 0);
}

static void on_later(void *arg)
{
    struct connection *connection = arg;
    if (connection->rest[0] == '\0') {
        connection_free(connection);
    } else {
        say(connection, connection->rest);
    }
}

/* The request itself, or a lot of nothing. */
static void say_made_up(struct connection *connection, const char *path, const char *request,
                        size_t len)
{
    char head[128];
    if (strcmp(path, "/echo") == 0) {
        (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
        say(connection, head);
        assert_int_equal(bufferevent_write(connection->stream, request, len), 0);
        return;
    }
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE);
    say(connection, head);
    for (int i = 0; i < LARGE; i += 10) {
        say(connection, "0123456789");
    }
}

static void answer(struct connection *connection, const char *request, size_t len)
{
    char path[64] = "";
    connection->server->requests++;
    assert_int_equal(sscanf(request, "%*s %63s", path), 1); /* NOLINT: checked */
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (strcmp(path, answers[i].path) != 0) {
            continue;
        }
        if (answers[i].first == NULL) {
            say_made_up(connection, path, request, len);
        } else {
            say(connection, answers[i].first);
        }
        connection->rest = answers[i].rest;
        if (connection->rest != NULL) {
            timer_arm(&connection->later, LATER_MS);
        }
        return;
    }
    fail_msg("nobody expects %s", path);
}

static void on_read(struct bufferevent *stream, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(stream);
    size_t len = evbuffer_get_length(input);
    char *text = malloc(len + 1);
    assert_non_null(text);
    assert_int_equal(evbuffer_copyout(input, text, len), len);
    text[len] = '\0';
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\nContent-Length:");
    size_t body_len = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
    if (end != NULL && len >= (size_t)(end - text) + 4 + body_len) {
        (void)evbuffer_drain(input, len);
        answer(arg, text, len);
    }
    free(text);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
        connection_free(arg);
    }
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *arg)
{
    (void)listener;
    (void)address;
    (void)size;
    struct server *server = arg;
    struct err err;
    struct connection *connection = calloc(1, sizeof *connection);
    assert_non_null(connection);
    connection->server = server;
    connection->stream = bufferevent_socket_new(loop_base(server->loop), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(connection->stream);
    assert_true(timer_open(&connection->later, server->loop, on_later, connection, &err));
    list_append(&server->connections, &connection->node);
    server->accepted++;
    server->open++;
    bufferevent_setcb(connection->stream, on_read, NULL, on_event, connection);
    (void)bufferevent_enable(connection->stream, EV_READ | EV_WRITE);
}

struct server *server_open(struct loop *loop, const char *path)
{
    struct server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    server->loop = loop;
    list_init(&server->connections);
    struct sockaddr_un by_path = {.sun_family = AF_UNIX};
    const struct sockaddr_in by_network = {.sin_family = AF_INET,
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr *address = (const struct sockaddr *)&by_network;
    int size = sizeof by_network;
    if (path != NULL) {
        (void)snprintf(by_path.sun_path, sizeof by_path.sun_path, "%s", path);
        address = (const struct sockaddr *)&by_path;
        size = sizeof by_path;
    }
    server->listener = evconnlistener_new_bind(loop_base(loop), on_accept, server,
                                               LEV_OPT_CLOSE_ON_FREE, -1, address, size);
    assert_non_null(server->listener);
    return server;
}

void server_close(struct server *server)
{
    for (LIST_EACH(node, &server->connections)) {
        connection_free(LIST_ENTRY(node, struct connection, node));
    }
    evconnlistener_free(server->listener);
    free(server);
}

int server_port(const struct server *server)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    int fd = evconnlistener_get_fd(server->listener);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

int server_accepted(const struct server *server)
{
    return server->accepted;
}

int server_open_now(const struct server *server)
{
    return server->open;
}

int server_requests(const struct server *server)
{
    return server->requests;
}
