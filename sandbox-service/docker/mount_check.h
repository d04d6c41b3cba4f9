/* sandbox-service/docker/mount_check.h: whether volumes come to lie where their paths say.
 *
 * The engine follows the symbolic links of a container's own files when it mounts. An image, or
 * whoever was in a sandbox before it stopped, could lead a volume's path to the agent's folder, and
 * a program of theirs would be run for the agent. So each part of each path is asked about before
 * the container is started: what is there must be a folder, and no link. */
#ifndef SANDBOX_DOCKER_MOUNT_CHECK_H
#define SANDBOX_DOCKER_MOUNT_CHECK_H

#include "common/contracts/volumes.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/wire.h"

enum { MOUNT_CHECKS_MAX = VOLUMES_PER_SANDBOX_MAX + 1 /* the agent's folder */ };

/* err NULL: they do. ERR_INVALID "volume_path_unsafe": one does not; else why it is not known. */
typedef void mount_check_fn(const struct err *err, void *arg);

/* Lies in the caller's request, which holds it until done; starts as zero. */
struct mount_check {
    struct docker *docker; /* borrowed */
    struct docker_call call;
    char container[WIRE_NAME_SIZE];
    char paths[MOUNT_CHECKS_MAX][VOLUME_PATH_MAX + 1];
    size_t count;
    size_t at;  /* the path that is asked about */
    size_t len; /* of its part that was asked about last */
    bool too_many;
    int64_t until_ms; /* of the monotonic clock: all questions together */
    mount_check_fn *done;
    void *arg;
};

/* One that is to be looked at. Copies target. */
void mount_check_add(struct mount_check *check, struct view target);
/* Looks at those, in a container that was made and does not run, in timeout_ms. Here and below:
 * done comes exactly once, later, on the loop. */
void mount_check_begin(struct mount_check *check, struct docker *docker, const char *container,
                       int64_t timeout_ms, mount_check_fn *done, void *arg);
/* The same for those that the container was made with, and whatever was added is forgotten, in
 * DOCKER_TIMEOUT_MS. One that is not there has none. */
void mount_check_stopped(struct mount_check *check, struct docker *docker, const char *container,
                         mount_check_fn *done, void *arg);

#endif
