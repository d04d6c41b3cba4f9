/* gateway/ports/listener.h: one listening port of this machine that leads to a port of a sandbox.
 */
#ifndef GATEWAY_PORTS_LISTENER_H
#define GATEWAY_PORTS_LISTENER_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "gateway/ports/exposed.h"

#include <stdint.h>
#include <sys/socket.h>

struct hub;
struct loop;
struct port_listener;

enum { PORT_LISTENER_TUNNELS_MAX = 256 }; /* those beyond wait to be accepted */

struct port_listener_options {
    struct loop *loop;              /* borrowed */
    struct hub *hub;                /* borrowed */
    const char *sandbox_id;         /* borrowed for the listener's life */
    const struct sockaddr *address; /* whose port is host_port */
    socklen_t address_len;
    struct exposed_grant grant; /* whose port its connections lead to */
    uint16_t host_port;
    size_t *tunnels; /* borrowed: those of all listeners */
    size_t tunnels_max;
};
/* ERR_CONFLICT "host_port_taken" when somebody else listens there. */
struct port_listener *port_listener_open(const struct port_listener_options *options,
                                         struct err *err) MUST_CHECK;
/* Accepts no more; what is connected stays. */
void port_listener_stop(struct port_listener *listener);
/* Resets what is connected. */
void port_listener_close(struct port_listener *listener);

const struct exposed_grant *port_listener_grant(const struct port_listener *listener);
/* What lets its connections in from now on; the port is the same. */
void port_listener_set_grant(struct port_listener *listener, const struct exposed_grant *grant);
uint16_t port_listener_host_port(const struct port_listener *listener);
/* For the owner's list. */
struct list *port_listener_list_node(struct port_listener *listener);
struct port_listener *port_listener_of_list_node(struct list *node);

#endif
