/* sandbox-service/docker/image.h: what images say of themselves, remembered for a moment. */
#ifndef SANDBOX_DOCKER_IMAGE_H
#define SANDBOX_DOCKER_IMAGE_H

#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/wire.h"

enum {
    IMAGE_NAME_SIZE = 256,
    IMAGES_MAX = 64, /* remembered; when there are more, all are asked for anew */
    IMAGE_FRESH_MS = 10000,
};

struct images;

/* Borrows docker for its life. */
struct images *images_new(struct docker *docker, struct err *err) MUST_CHECK;
/* After docker_fail_all. */
void images_free(struct images *images);

/* What is remembered of the image, valid during this turn of the loop; NULL: ask with image_ask. */
const struct wire_image *images_recall(struct images *images, const char *name);

/* image is NULL when err is not; valid during the call. ERR_NOT_FOUND "image_not_found". */
typedef void image_told_fn(const struct wire_image *image, const struct err *err, void *arg);

/* One question. Lies in the caller's request; belongs to images until done. */
struct image_call {
    struct docker_call call;
    struct images *images; /* borrowed */
    char name[IMAGE_NAME_SIZE];
    image_told_fn *done;
    void *arg;
};
/* Asks the engine and remembers the answer. done comes exactly once, later, on the loop; false (and
 * no done) for what is no name of an image. */
bool image_ask(struct images *images, struct image_call *call, const char *name,
               image_told_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
