/* sandbox-service/docker/empty_image.h: an image without a single file, for containers of ours that
 * bring all they need on a volume. */
#ifndef SANDBOX_DOCKER_EMPTY_IMAGE_H
#define SANDBOX_DOCKER_EMPTY_IMAGE_H

#include "sandbox-service/docker/docker.h"

#define EMPTY_IMAGE "insien/empty:latest"

typedef void empty_image_fn(const struct err *err, void *arg);

/* Lies in the caller's request; belongs to docker until done. */
struct empty_image_call {
    struct docker *docker; /* borrowed */
    struct docker_call call;
    const char *instance; /* borrowed */
    empty_image_fn *done;
    void *arg;
};
/* Makes the image, labelled with the instance, unless it is there. done comes exactly once, later,
 * on the loop. */
void empty_image_ensure(struct docker *docker, struct empty_image_call *call, const char *instance,
                        empty_image_fn *done, void *arg);

#endif
