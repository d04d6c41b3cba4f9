/* sandbox-service/docker/start.h: brings one container up, or leaves nothing behind. */
#ifndef SANDBOX_DOCKER_START_H
#define SANDBOX_DOCKER_START_H

#include "sandbox-service/docker/docker.h"

struct container_spec;
struct docker_start; /* one start in flight */

/* container_id is NULL when err is not. Both are valid during the call only. ERR_NOT_FOUND: there
 * is no such image; ERR_INVALID "volume_path_unsafe" (docker/mount_check.h). */
typedef void docker_started_fn(const char *container_id, const struct err *err, void *arg);

/* Creates and starts a container. Copies from spec; borrows docker until done. Each of its calls,
 * and its look at the mounts, gets timeout_ms. done is called exactly once, from the loop, never
 * from inside this function. When the spec is unusable: returns NULL, fills err and does not call
 * done. */
struct docker_start *docker_start_begin(struct docker *docker, const struct container_spec *spec,
                                        int64_t timeout_ms, docker_started_fn *done, void *arg,
                                        struct err *err) MUST_CHECK;

#endif
