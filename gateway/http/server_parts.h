/* gateway/http/server_parts.h: the server and its listeners, for the two files that are the server.
 */
#ifndef GATEWAY_HTTP_SERVER_PARTS_H
#define GATEWAY_HTTP_SERVER_PARTS_H

#include "common/base/map.h"
#include "gateway/http/address.h"
#include "gateway/http/connection.h"
#include "gateway/http/core.h"

#include <event2/listener.h>

struct http_server {
    struct http_core core; /* first: connections know only this */
    struct list listeners; /* also closed ones with connections left */
    struct map addresses;  /* of struct address_entry */
    size_t open;           /* TCP connections, not upgraded */
    size_t counted;        /* TCP connections, with upgraded ones whose place was taken */
    size_t refused;        /* connections that are only told so */
    bool is_full;          /* no TCP is accepted */
    int spare_fd;          /* closed for a moment when descriptors run out; or -1 */
    int64_t complained_ms; /* when the log last heard of this; 0: never */
    struct timer pause;    /* armed: nothing is accepted */
    struct event *drained; /* owned */
    void (*on_drained)(void *arg);
    void *on_drained_arg;
};

struct http_listener {
    struct list node;
    struct http_server *server;    /* borrowed */
    struct evconnlistener *socket; /* owned; NULL once it accepts no more */
    struct list connections;
    size_t open; /* connections, and whoever walks the list */
    bool is_unix;
    bool is_closed; /* by its owner: freed when empty */
    uint16_t port;
    struct http_tls *tls; /* borrowed; NULL: plain */
    void *arg;
};

/* Accepts, or not, by what the server and the listener now hold. */
void listener_update(struct http_listener *listener);
void listeners_update(struct http_server *server);
/* Closes the socket; connections stay. */
void listener_stop(struct http_listener *listener);
/* One less of what open counts. */
void listener_release(struct http_listener *listener);

#endif
