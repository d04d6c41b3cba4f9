/* gateway/ports/tunnel.h: one TCP connection to a port inside a sandbox: its bytes go through the
 * agent, both ways, and each end of a direction is passed on by itself. */
#ifndef GATEWAY_PORTS_TUNNEL_H
#define GATEWAY_PORTS_TUNNEL_H

#include "common/base/id.h"
#include "common/base/list.h"

#include <stdint.h>

struct hub;
struct loop;
struct tunnel;

enum {
    TUNNEL_IN_MAX = 64 * 1024,       /* came from the client and has no credit yet */
    TUNNEL_IDLE_MS = 10 * 60 * 1000, /* without a byte either way */
    TUNNEL_DIAL_TIMEOUT_MS = 15 * 1000,
};

/* It is over, and freed after this. */
typedef void tunnel_closed_fn(struct tunnel *tunnel, void *arg);

struct tunnel_options {
    struct loop *loop; /* borrowed */
    struct hub *hub;   /* borrowed */
    const char *sandbox_id;
    uint16_t container_port;
    tunnel_closed_fn *on_closed; /* once, later, on the loop */
    void *arg;
};
/* Takes fd (connected, non-blocking) whatever happens. NULL when it can't begin: the client's
 * connection is reset. */
struct tunnel *tunnel_open(int fd, const struct tunnel_options *options,
                           struct err *err) MUST_CHECK;
/* Resets the client's connection; on_closed is not called. It is in no list any more by then. */
void tunnel_close(struct tunnel *tunnel);

/* For the owner's list of its tunnels. */
struct list *tunnel_list_node(struct tunnel *tunnel);
struct tunnel *tunnel_of_list_node(struct list *node);

#endif
