/* sandbox-service/docker/attachment.h: gives containers that run another network. */
#ifndef SANDBOX_DOCKER_ATTACHMENT_H
#define SANDBOX_DOCKER_ATTACHMENT_H

#include "sandbox-service/docker/docker.h"

/* The engine's network of those without any. It is left before another is joined. */
#define NETWORK_NONE "none"

/* err NULL: it is so, now or before. ERR_NOT_FOUND: there is no such container or network. */
typedef void attachment_fn(const struct err *err, void *arg);

/* One act. Lies in the caller's request; belongs to docker until its done, which comes exactly
 * once, later, on the loop. */
struct attachment_call {
    struct docker_call call;
    bool is_join;
    attachment_fn *done;
    void *arg;
};

/* address: on that network; NULL: the engine chooses. */
void attachment_join(struct docker *docker, struct attachment_call *call, const char *network,
                     const char *container, const char *address, attachment_fn *done, void *arg);
/* Connections over it are cut. */
void attachment_leave(struct docker *docker, struct attachment_call *call, const char *network,
                      const char *container, attachment_fn *done, void *arg);

typedef void attachment_address_fn(const char *sandbox_id, uint32_t address, void *arg);
/* Who of GET /containers/json is on a network, and with what address. on_address may have been
 * called before a mistake is found. */
bool attachment_read_addresses(struct view body, const char *network,
                               attachment_address_fn *on_address, void *arg,
                               struct err *err) MUST_CHECK;

#endif
