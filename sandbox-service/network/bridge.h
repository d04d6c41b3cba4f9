/* sandbox-service/network/bridge.h: the engine's network for sandboxes. */
#ifndef SANDBOX_NETWORK_BRIDGE_H
#define SANDBOX_NETWORK_BRIDGE_H

#include "sandbox-service/docker/docker.h"

/* err NULL: the network is there and as it must be. */
typedef void bridge_fn(const struct err *err, void *arg);

/* Lies in the caller's request; belongs to docker until done. The strings are borrowed as long. */
struct bridge_call {
    struct docker *docker; /* borrowed */
    struct docker_call call;
    const char *name;
    const char *instance;
    const char *bridge; /* the interface */
    const char *subnet;
    const char *gateway; /* the host's address */
    bool created;
    bool is_wrong; /* of a failure: the engine did answer, and the network is not as it must be */
    bridge_fn *done;
    void *arg;
};

/* Makes the network unless it is there, and looks whether it is as it must be: neighbours kept
 * apart, no IPv6, our interface's name and subnet. done comes exactly once, later, on the loop. The
 * caller fills in the strings. */
void bridge_ensure(struct docker *docker, struct bridge_call *call, bridge_fn *done, void *arg);

#endif
