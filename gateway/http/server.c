#include "gateway/http/server.h"

#include "gateway/http/server_parts.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

const struct http_limits http_default_limits = {
    .connections_max = 20000,
    .connections_per_address_max = 1024,
    .exempt_cidrs = "",
    .proxy_cidrs = "",
    .head_timeout_ms = 10000,
    .idle_timeout_ms = 75000,
    .body_gap_ms = 10000,
    .body_timeout_ms = 60000,
    .write_stall_ms = 30000,
    .stream_stall_ms = 600000,
};

static_assert(offsetof(struct http_server, core) == 0, "server_of relies on it");

static struct http_server *server_of(struct http_core *core)
{
    return (struct http_server *)(void *)core;
}

static void announce_drained(struct http_server *server)
{
    if (server->on_drained != NULL && server->open == 0) {
        event_active(server->drained, EV_TIMEOUT, 0);
    }
}

static void tell_drained(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_server *server = arg;
    void (*tell)(void *) = TAKE(server->on_drained);
    if (tell != NULL) {
        tell(server->on_drained_arg);
    }
}

static void on_closed(struct http_connection *connection)
{
    struct http_server *server = server_of(connection->core);
    server->open -= connection->listener->is_unix ? 0 : 1;
    listener_release(connection->listener);
    announce_drained(server);
}

static void on_pause_over(void *arg)
{
    struct http_server *server = arg;
    if (server->spare_fd < 0) {
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    listeners_update(server);
}

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits,
                                    http_request_fn *on_request, struct err *err)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        err_set(err, ERR_INTERNAL, "http: out of memory");
        return NULL;
    }
    list_init(&server->listeners);
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!core_init(&server->core, loop, limits, err) || !map_init(&server->addresses, err) ||
        !timer_open(&server->pause, loop, on_pause_over, server, err)) {
        goto fail;
    }
    server->core.on_request = on_request;
    server->core.on_closed = on_closed;
    server->drained = event_new(loop_base(loop), -1, 0, tell_drained, server);
    if (server->drained == NULL) {
        err_set(err, ERR_INTERNAL, "http: out of memory");
        goto fail;
    }
    return server;
fail:
    http_server_free(server);
    return NULL;
}

void http_server_pass_raw_targets(struct http_server *server, http_raw_target_fn *is_raw, void *arg)
{
    server->core.is_raw = is_raw;
    server->core.is_raw_arg = arg;
}

void http_server_allow_origins(struct http_server *server, const char *origins)
{
    server->core.writer.origins = origins;
}

static void close_connections(struct http_listener *listener)
{
    while (!list_is_empty(&listener->connections)) {
        connection_close(LIST_ENTRY(listener->connections.next, struct http_connection, node));
    }
}

void http_server_free(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    server->on_drained = NULL;
    while (!list_is_empty(&server->listeners)) {
        struct http_listener *listener =
            LIST_ENTRY(server->listeners.next, struct http_listener, node);
        listener_stop(listener);
        listener->open++; /* keeps it until its last connection is gone */
        close_connections(listener);
        listener->is_closed = true;
        listener_release(listener);
    }
    timer_close(&server->pause);
    if (server->drained != NULL) {
        event_free(server->drained);
    }
    close_fd(&server->spare_fd);
    map_free(&server->addresses);
    core_release(&server->core);
    free(server);
}

void http_server_drain(struct http_server *server, void (*on_drained)(void *arg), void *arg)
{
    server->on_drained = on_drained;
    server->on_drained_arg = arg;
    for (LIST_EACH(listener_node, &server->listeners)) {
        struct http_listener *listener = LIST_ENTRY(listener_node, struct http_listener, node);
        if (listener->is_unix) {
            continue;
        }
        listener_stop(listener);
        listener->open++; /* keeps it while its list is walked */
        for (LIST_EACH(node, &listener->connections)) {
            connection_retire(LIST_ENTRY(node, struct http_connection, node), false);
        }
        listener_release(listener);
    }
    announce_drained(server);
}
