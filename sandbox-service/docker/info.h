/* sandbox-service/docker/info.h: what kind of engine this is. */
#ifndef SANDBOX_DOCKER_INFO_H
#define SANDBOX_DOCKER_INFO_H

#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/wire.h"

/* info is NULL when err is not; valid during the call. */
typedef void docker_told_fn(const struct wire_info *info, const struct err *err, void *arg);

/* Lies in the caller's request; belongs to docker until done. */
struct info_call {
    struct docker_call call;
    docker_told_fn *done;
    void *arg;
};
/* done comes exactly once, later, on the loop. */
void docker_ask_info(struct docker *docker, struct info_call *call, docker_told_fn *done,
                     void *arg);

#endif
