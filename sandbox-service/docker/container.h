/* sandbox-service/docker/container.h: single acts on containers. */
#ifndef SANDBOX_DOCKER_CONTAINER_H
#define SANDBOX_DOCKER_CONTAINER_H

#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/wire.h"

enum { CONTAINER_NAME_SIZE = WIRE_NAME_SIZE };

/* "insien-<sandbox id>". */
void container_name(const char sandbox_id[ID_SIZE], char out[CONTAINER_NAME_SIZE]);

/* err NULL: it is gone, now or before. */
typedef void container_removed_fn(const struct err *err, void *arg);
/* Both NULL: there is no such container. */
typedef void container_inspected_fn(const struct wire_container *container, const struct err *err,
                                    void *arg);
/* list is NULL when err is not: the answer's text, for wire_read_list. */
typedef void container_listed_fn(const struct view *list, const struct err *err, void *arg);

/* err NULL: done. ERR_NOT_FOUND: there is no such container; ERR_CONFLICT: it is in no state for
 * it, perhaps because it is as wanted. */
typedef void container_acted_fn(const struct err *err, void *arg);

/* One act. Lies in the caller's request; belongs to docker until its done, which comes exactly
 * once, later, on the loop. What it is given is valid during the call only. */
struct container_call {
    struct docker_call call;
    union {
        container_removed_fn *removed;
        container_inspected_fn *inspected;
        container_listed_fn *listed;
        container_acted_fn *acted;
    } done;
    const char *what; /* for the message of a failure */
    void *arg;
};

/* Kills it when it runs, and removes its anonymous volumes with it. name may be an id. */
void container_remove(struct docker *docker, struct container_call *call, const char *name,
                      container_removed_fn *done, void *arg);

/* Its processes stand still, or go on. */
void container_pause(struct docker *docker, struct container_call *call, const char *name,
                     container_acted_fn *done, void *arg);
void container_unpause(struct docker *docker, struct container_call *call, const char *name,
                       container_acted_fn *done, void *arg);
/* Its processes are killed (the first of them heeds no SIGTERM, and the engine tells no other); its
 * files stay. Well also when it does not run. */
void container_stop(struct docker *docker, struct container_call *call, const char *name,
                    container_acted_fn *done, void *arg);
/* Runs it anew. Well also when it runs. */
void container_start(struct docker *docker, struct container_call *call, const char *name,
                     container_acted_fn *done, void *arg);

void container_inspect(struct docker *docker, struct container_call *call, const char *name,
                       container_inspected_fn *done, void *arg);
/* The same, with written_bytes: the engine walks what the container has written. */
void container_measure(struct docker *docker, struct container_call *call, const char *name,
                       container_inspected_fn *done, void *arg);
/* All containers of an instance that carry a sandbox's label, running or not. */
void container_list(struct docker *docker, struct container_call *call, const char *instance,
                    container_listed_fn *done, void *arg);

/* Gives a container that runs the limits of spec (wire_write_update says which), within timeout_ms.
 * ERR_NOT_FOUND when it is gone. False when the spec is unusable; then done is not called. */
bool container_update(struct docker *docker, struct container_call *call,
                      const struct container_spec *spec, int64_t timeout_ms,
                      container_acted_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
