#include "common/base/clock.h"
#include "common/base/log.h"
#include "gateway/http/server_parts.h"
#include "gateway/http/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BACKLOG = 1024,
    REFUSED_MAX = 64, /* connections over a limit that are told so at a time */
    PAUSE_MS = 100,
    COMPLAIN_EVERY_MS = 10 * 1000,
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_PROBES = 6,
    PORT_TEXT_SIZE = 6,
};

struct http_place {
    struct http_server *server;  /* borrowed */
    struct address_entry *entry; /* NULL: a refused connection */
};

/* Linux hands the listening socket's options on to those it accepts. */
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
    {IPPROTO_TCP, TCP_USER_TIMEOUT, WIRE_USER_TIMEOUT_MS},
};

static struct http_place *place_new(struct http_server *server, const struct address *address)
{
    struct http_place *place = calloc(1, sizeof *place);
    if (place == NULL) {
        return NULL;
    }
    place->server = server;
    if (address == NULL) {
        server->refused++;
        return place;
    }
    place->entry = address_entry_take(&server->addresses, address);
    if (place->entry == NULL) {
        free(place);
        return NULL;
    }
    server->counted++;
    return place;
}

void http_place_free(struct http_place *place)
{
    if (place == NULL) {
        return;
    }
    struct http_server *server = place->server;
    if (place->entry == NULL) {
        server->refused--;
    } else {
        server->counted--;
        address_entry_release(&server->addresses, place->entry);
    }
    free(place);
    if (server->is_full) {
        server->is_full = false;
        listeners_update(server);
    }
}

void listener_update(struct http_listener *listener)
{
    struct http_server *server = listener->server;
    if (listener->socket == NULL) {
        return;
    }
    bool full = listener->is_unix ? listener->open >= HTTP_UNIX_CONNECTIONS_MAX : server->is_full;
    if (full || timer_is_armed(&server->pause)) {
        (void)evconnlistener_disable(listener->socket);
    } else {
        (void)evconnlistener_enable(listener->socket);
    }
}

void listeners_update(struct http_server *server)
{
    for (LIST_EACH(node, &server->listeners)) {
        listener_update(LIST_ENTRY(node, struct http_listener, node));
    }
}

void listener_stop(struct http_listener *listener)
{
    if (listener->socket != NULL) {
        evconnlistener_free(listener->socket);
        listener->socket = NULL;
    }
}

void listener_release(struct http_listener *listener)
{
    listener->open--;
    if (listener->is_closed && listener->open == 0) {
        list_remove(&listener->node);
        free(listener);
    } else if (listener->is_unix) {
        listener_update(listener);
    }
}

/* What lasts, or comes back again and again, is logged now and then. */
static bool may_complain(struct http_server *server)
{
    int64_t now_ms = clock_monotonic_ms();
    if (server->complained_ms != 0 && now_ms - server->complained_ms < COMPLAIN_EVERY_MS) {
        return false;
    }
    server->complained_ms = now_ms;
    return true;
}

static enum refusal admit(const struct http_server *server, const struct address *address)
{
    const struct http_limits *limits = &server->core.limits;
    if (server->counted >= limits->connections_max) {
        return REFUSAL_OVERLOADED;
    }
    if (address_entry_count(&server->addresses, address) >= limits->connections_per_address_max &&
        !address_list_has(&server->core.exempt, address) &&
        !address_list_has(&server->core.proxies, address)) {
        return REFUSAL_ADDRESS_BUSY;
    }
    return REFUSAL_NONE;
}

/* Takes fd and place. */
static void open_connection(struct http_listener *listener, int fd, const char *peer,
                            struct http_place *place, enum refusal refusal)
{
    const struct connection_options options = {
        .listener = listener,
        .list = &listener->connections,
        .place = place,
        .tls = listener->tls,
        .arg = listener->arg,
        .peer = peer,
    };
    struct http_connection *connection = connection_open(&listener->server->core, fd, &options);
    if (connection == NULL) {
        return;
    }
    listener->open++;
    listener->server->open += listener->is_unix ? 0 : 1;
    if (refusal != REFUSAL_NONE) {
        connection_refuse(connection, refusal);
    }
}

static void accept_tcp(struct http_listener *listener, int fd, const struct sockaddr *sockaddr)
{
    struct http_server *server = listener->server;
    struct address address;
    char peer[ADDRESS_TEXT_SIZE];
    if (!address_of(sockaddr, &address)) {
        (void)close(fd);
        return;
    }
    address_format(&address, peer);
    enum refusal refusal = admit(server, &address);
    struct http_place *place = NULL;
    if (refusal == REFUSAL_NONE || server->refused < REFUSED_MAX) {
        place = place_new(server, refusal == REFUSAL_NONE ? &address : NULL);
    }
    if (place == NULL) {
        (void)close(fd);
    } else {
        open_connection(listener, fd, peer, place, refusal);
    }
    if (refusal == REFUSAL_OVERLOADED && server->refused >= REFUSED_MAX) {
        if (may_complain(server)) {
            log_warn("http.full", LOG_INT("connections", server->counted));
        }
        server->is_full = true;
        listeners_update(server);
    }
}

static void on_accept(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *sockaddr,
                      int sockaddr_len, void *arg)
{
    (void)socket;
    (void)sockaddr_len;
    struct http_listener *listener = arg;
    if (listener->is_unix) {
        open_connection(listener, fd, "unix", NULL, REFUSAL_NONE);
        listener_update(listener);
    } else {
        accept_tcp(listener, fd, sockaddr);
    }
}

static void refuse_plainly(struct http_server *server, int fd)
{
    struct response_writer *writer = &server->core.writer;
    char id[HTTP_REQUEST_ID_SIZE];
    struct http_response response;
    core_new_id(&server->core, id);
    response_refusal(writer, REFUSAL_OVERLOADED, id, &response);
    const struct response_form form = {.connection = RESPONSE_CLOSE, .length = response.body.len};
    struct view head = response_head(writer, &response, id, &form);
    (void)send(fd, head.ptr, head.len, MSG_NOSIGNAL | MSG_MORE);
    (void)send(fd, response.body.ptr, response.body.len, MSG_NOSIGNAL);
}

/* One waiting client hears why (over TLS that would be a long talk), at the price of the spare
 * descriptor, which comes back at once. */
static bool shed_one(struct http_listener *listener)
{
    struct http_server *server = listener->server;
    if (server->spare_fd < 0) {
        return false;
    }
    (void)close(server->spare_fd);
    int fd =
        accept4(evconnlistener_get_fd(listener->socket), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        if (listener->tls == NULL) {
            refuse_plainly(server, fd);
        }
        (void)close(fd);
    }
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static void on_accept_error(struct evconnlistener *socket, void *arg)
{
    (void)socket;
    int error = errno;
    struct http_listener *listener = arg;
    struct http_server *server = listener->server;
    if (may_complain(server)) {
        log_error("http.accept_failed", LOG_STR("error", strerror(error)));
    }
    if ((error == EMFILE || error == ENFILE) && shed_one(listener)) {
        return;
    }
    timer_arm(&server->pause, PAUSE_MS);
    listeners_update(server);
}

static struct http_listener *add_listener(struct http_server *server, int fd, bool is_unix,
                                          void *arg, struct err *err)
{
    struct http_listener *listener = calloc(1, sizeof *listener);
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
    if (listener != NULL && evutil_make_socket_nonblocking(fd) == 0) {
        listener->socket = evconnlistener_new(loop_base(server->core.loop), on_accept, listener,
                                              flags, is_unix ? 0 : BACKLOG, fd);
    }
    if (listener == NULL || listener->socket == NULL) {
        err_set(err, ERR_INTERNAL, "listen: %s", strerror(errno));
        free(listener);
        (void)close(fd);
        return NULL;
    }
    listener->server = server;
    listener->is_unix = is_unix;
    listener->arg = arg;
    list_init(&listener->connections);
    list_append(&server->listeners, &listener->node);
    evconnlistener_set_error_cb(listener->socket, on_accept_error);
    listener_update(listener);
    return listener;
}

struct http_listener *http_listen_unix(struct http_server *server, int listening_fd, void *arg,
                                       struct err *err)
{
    return add_listener(server, listening_fd, true, arg, err);
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
    bool both =
        family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    return both || err_set(err, ERR_INTERNAL, "IPV6_V6ONLY: %s", strerror(errno));
}

static int bind_tcp(const struct addrinfo *found, struct err *err)
{
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_set(err, ERR_INTERNAL, "socket: %s", strerror(errno));
        return -1;
    }
    bool ok = set_options(fd, found->ai_family, err);
    if (ok && bind(fd, found->ai_addr, found->ai_addrlen) != 0) {
        ok = err_set(err, ERR_UNAVAILABLE, "bind: %s", strerror(errno));
    }
    if (!ok) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } name = {.ipv6 = {0}};
    socklen_t len = sizeof name;
    if (getsockname(fd, &name.any, &len) != 0) {
        return 0;
    }
    return ntohs(name.any.sa_family == AF_INET6 ? name.ipv6.sin6_port : name.ipv4.sin_port);
}

struct http_listener *http_listen_tcp(struct http_server *server, const char *host, uint16_t port,
                                      void *arg, struct err *err)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char port_text[PORT_TEXT_SIZE];
    (void)snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    int failed = getaddrinfo(host, port_text, &hints, &found);
    if (failed != 0) {
        err_set(err, ERR_INVALID, "listening on %s: %s", host, gai_strerror(failed));
        return NULL;
    }
    int fd = bind_tcp(found, err);
    freeaddrinfo(found);
    if (fd < 0) {
        err_wrap(err, "listening on %s, port %u", host, (unsigned)port);
        return NULL;
    }
    struct http_listener *listener = add_listener(server, fd, false, arg, err);
    if (listener != NULL) {
        listener->port = port_of(fd);
    }
    return listener;
}

void http_listener_use_tls(struct http_listener *listener, struct http_tls *tls)
{
    listener->tls = tls;
}

uint16_t http_listener_port(const struct http_listener *listener)
{
    return listener->port;
}

void http_listener_close(struct http_listener *listener)
{
    listener_stop(listener);
    listener->open++; /* keeps it while its list is walked */
    for (LIST_EACH(node, &listener->connections)) {
        connection_retire(LIST_ENTRY(node, struct http_connection, node), true);
    }
    listener->is_closed = true;
    listener_release(listener);
}
