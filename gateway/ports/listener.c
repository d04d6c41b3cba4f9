#include "gateway/ports/listener.h"

#include "common/base/log.h"
#include "common/event/loop.h"
#include "gateway/ports/tunnel.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKLOG = 128,
    PAUSE_MS = 100, /* when no connection can be taken for want of descriptors or memory */
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_PROBES = 6,
};

struct port_listener {
    struct list node;  /* the owner's */
    struct loop *loop; /* borrowed */
    struct hub *hub;   /* borrowed */
    const char *sandbox_id;
    struct exposed_grant grant;
    uint16_t host_port;
    struct evconnlistener *socket; /* owned; NULL once it is stopped */
    struct timer pause;            /* armed: accepts nothing */
    struct list tunnels;
    size_t tunnel_count;
    size_t *all_tunnels;
    size_t all_tunnels_max;
};

/* Linux hands the listening socket's options on to those it accepts. No bound on how long bytes may
 * wait for the peer: one that lives and does not read is its sandbox's business. */
static const struct {
    int level;
    int name;
    int value;
} tcp_options[] = {
    {SOL_SOCKET, SO_REUSEADDR, 1},
    {SOL_SOCKET, SO_KEEPALIVE, 1},
    {IPPROTO_TCP, TCP_NODELAY, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
    {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
    {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
};

static void update(struct port_listener *listener)
{
    if (listener->socket == NULL) {
        return;
    }
    if (listener->tunnel_count >= PORT_LISTENER_TUNNELS_MAX || timer_is_armed(&listener->pause)) {
        (void)evconnlistener_disable(listener->socket);
    } else {
        (void)evconnlistener_enable(listener->socket);
    }
}

static void on_pause_over(void *arg)
{
    update(arg);
}

static void pause_accepting(struct port_listener *listener)
{
    timer_arm(&listener->pause, PAUSE_MS);
    update(listener);
}

static void forget_tunnel(struct port_listener *listener, struct tunnel *tunnel)
{
    list_remove(tunnel_list_node(tunnel));
    listener->tunnel_count--;
    (*listener->all_tunnels)--;
}

static void on_tunnel_closed(struct tunnel *tunnel, void *arg)
{
    struct port_listener *listener = arg;
    forget_tunnel(listener, tunnel);
    update(listener);
}

static void on_accept(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *peer,
                      int peer_len, void *arg)
{
    (void)socket;
    (void)peer;
    (void)peer_len;
    struct port_listener *listener = arg;
    struct err err = {0};
    const struct tunnel_options options = {.loop = listener->loop,
                                           .hub = listener->hub,
                                           .sandbox_id = listener->sandbox_id,
                                           .container_port = listener->grant.port,
                                           .on_closed = on_tunnel_closed,
                                           .arg = listener};
    if (*listener->all_tunnels >= listener->all_tunnels_max) {
        (void)close(fd);
        pause_accepting(listener);
        return;
    }
    struct tunnel *tunnel = tunnel_open(fd, &options, &err);
    if (tunnel == NULL) {
        log_info("host_port.refused", LOG_STR("sandbox_id", listener->sandbox_id),
                 LOG_INT("host_port", listener->host_port), LOG_ERR(&err));
        return;
    }
    list_append(&listener->tunnels, tunnel_list_node(tunnel));
    listener->tunnel_count++;
    (*listener->all_tunnels)++;
    update(listener);
}

static void on_accept_error(struct evconnlistener *socket, void *arg)
{
    (void)socket;
    int error = errno;
    struct port_listener *listener = arg;
    log_error("host_port.accept_failed", LOG_INT("host_port", listener->host_port),
              LOG_STR("error", strerror(error)));
    pause_accepting(listener);
}

static bool set_options(int fd, int family, struct err *err)
{
    for (size_t i = 0; i < sizeof tcp_options / sizeof tcp_options[0]; i++) {
        if (setsockopt(fd, tcp_options[i].level, tcp_options[i].name, &tcp_options[i].value,
                       sizeof tcp_options[i].value) != 0) {
            return err_set(err, ERR_INTERNAL, "setsockopt: %s", strerror(errno));
        }
    }
    int off = 0;
    return family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0 ||
           err_set(err, ERR_INTERNAL, "IPV6_V6ONLY: %s", strerror(errno));
}

static bool bind_and_listen(int fd, const struct sockaddr *address, socklen_t address_len,
                            struct err *err)
{
    if (bind(fd, address, address_len) == 0 && listen(fd, BACKLOG) == 0) {
        return true;
    }
    if (errno == EADDRINUSE) {
        return err_set_reason(err, ERR_CONFLICT, "host_port_taken", "somebody else listens there");
    }
    return err_set(err, ERR_UNAVAILABLE, "bind: %s", strerror(errno));
}

/* -1: err says why. */
static int open_socket(const struct port_listener_options *options, struct err *err)
{
    struct sockaddr_storage address = {0};
    memcpy(&address, options->address, options->address_len);
    if (address.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&address)->sin6_port = htons(options->host_port);
    } else {
        ((struct sockaddr_in *)&address)->sin_port = htons(options->host_port);
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        err_set(err, ERR_UNAVAILABLE, "socket: %s", strerror(errno));
        return -1;
    }
    if (!set_options(fd, address.ss_family, err) ||
        !bind_and_listen(fd, (const struct sockaddr *)&address, options->address_len, err)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool start(struct port_listener *listener, int fd, struct err *err)
{
    if (!timer_open(&listener->pause, listener->loop, on_pause_over, listener, err)) {
        (void)close(fd);
        return false;
    }
    listener->socket = evconnlistener_new(loop_base(listener->loop), on_accept, listener,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (listener->socket == NULL) {
        (void)close(fd);
        return err_set(err, ERR_INTERNAL, "listen: out of memory");
    }
    evconnlistener_set_error_cb(listener->socket, on_accept_error);
    return true;
}

struct port_listener *port_listener_open(const struct port_listener_options *options,
                                         struct err *err)
{
    int fd = open_socket(options, err);
    if (fd < 0) {
        return NULL;
    }
    struct port_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        (void)close(fd);
        err_set(err, ERR_INTERNAL, "listen: out of memory");
        return NULL;
    }
    listener->loop = options->loop;
    listener->hub = options->hub;
    listener->sandbox_id = options->sandbox_id;
    listener->grant = options->grant;
    listener->host_port = options->host_port;
    listener->all_tunnels = options->tunnels;
    listener->all_tunnels_max = options->tunnels_max;
    list_init(&listener->tunnels);
    if (!start(listener, fd, err)) {
        port_listener_close(listener);
        return NULL;
    }
    return listener;
}

void port_listener_stop(struct port_listener *listener)
{
    if (listener->socket != NULL) {
        evconnlistener_free(listener->socket);
        listener->socket = NULL;
    }
}

void port_listener_close(struct port_listener *listener)
{
    port_listener_stop(listener);
    for (LIST_EACH(node, &listener->tunnels)) {
        struct tunnel *tunnel = tunnel_of_list_node(node);
        forget_tunnel(listener, tunnel);
        tunnel_close(tunnel);
    }
    timer_close(&listener->pause);
    free(listener);
}

const struct exposed_grant *port_listener_grant(const struct port_listener *listener)
{
    return &listener->grant;
}

void port_listener_set_grant(struct port_listener *listener, const struct exposed_grant *grant)
{
    listener->grant = *grant;
}

uint16_t port_listener_host_port(const struct port_listener *listener)
{
    return listener->host_port;
}

struct list *port_listener_list_node(struct port_listener *listener)
{
    return &listener->node;
}

struct port_listener *port_listener_of_list_node(struct list *node)
{
    return LIST_ENTRY(node, struct port_listener, node);
}
