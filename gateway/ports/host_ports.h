/* gateway/ports/host_ports.h: the ports of this machine that lead into sandboxes.
 *
 * For each sandbox whose agent is connected here, the gateway listens on the host ports of its
 * exposed ports, and makes each connection a tunnel. What is listened on follows what the
 * sandbox-service says: it is asked when the agent comes, when the news say that something changed,
 * and again when a port could not be had. */
#ifndef GATEWAY_PORTS_HOST_PORTS_H
#define GATEWAY_PORTS_HOST_PORTS_H

#include "gateway/hub/hub.h"
#include "gateway/ports/exposed.h"

struct gateway_config;
struct host_ports;
struct host_ports_wait;
struct loop;

enum {
    HOST_PORT_RETRY_MS = 2000,   /* until the next attempt at what failed */
    HOST_PORT_QUESTIONS_MAX = 8, /* to the sandbox-service at a time */
};

/* All borrowed. */
struct host_ports_options {
    struct loop *loop;
    const struct gateway_config *config; /* host_port_first 0: nothing is ever listened on */
    struct exposed_cache *exposed;
    struct hub *hub;
};
/* ERR_INVALID when HOST_PORT_ADDRESS is no address. */
struct host_ports *host_ports_new(const struct host_ports_options *options,
                                  struct err *err) MUST_CHECK;
/* Listens no more; what is connected stays. NULL is fine. */
void host_ports_stop(struct host_ports *ports);
/* Resets what is connected; waits end with "agent_lost". The hub must still be there, and no longer
 * be observed. NULL is fine. */
void host_ports_free(struct host_ports *ports);

/* For hub_observe; its arg is the struct host_ports. */
extern const struct hub_observer host_ports_observer;

/* The channel's news: something of the sandbox changed; anything may have changed. */
void host_ports_check(struct host_ports *ports, const char sandbox_id[ID_SIZE]);
void host_ports_check_all(struct host_ports *ports);

/* err is NULL when all is as the sandbox-service said after host_ports_wait_begin and the container
 * port's host port (if it has one) is listened on. Else ERR_CONFLICT "host_port_taken" when
 * somebody else has it, ERR_UNAVAILABLE "agent_lost", ... */
typedef void host_ports_wait_fn(const struct err *err, void *arg);
/* done comes once, later, on the loop. */
struct host_ports_wait *host_ports_wait_begin(struct host_ports *ports,
                                              const char sandbox_id[ID_SIZE],
                                              uint16_t container_port, host_ports_wait_fn *done,
                                              void *arg, struct err *err) MUST_CHECK;
void host_ports_wait_cancel(struct host_ports_wait *wait);

#endif
