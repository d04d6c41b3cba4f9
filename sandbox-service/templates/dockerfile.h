/* sandbox-service/templates/dockerfile.h: what a Dockerfile from outside may do on our engine, and
 * which images it begins from.
 *
 * RUN steps run in containers with limits and our network; that needs no look. What the engine
 * itself does for a Dockerfile has the machine's own network and no limits, so it is taken away:
 * ADD, which fetches and unpacks, and the triggers (ONBUILD) that could hold one. Images are
 * fetched by us, from registries that are allowed, and each FROM is told which one it got by its
 * digest: nobody can change what a name means between the look and the build. */
#ifndef SANDBOX_TEMPLATES_DOCKERFILE_H
#define SANDBOX_TEMPLATES_DOCKERFILE_H

#include "common/base/str.h"

enum {
    DOCKERFILE_IMAGES_MAX = 8, /* different places that name an image */
    DOCKERFILE_STAGES_MAX = 32,
    DOCKERFILE_STAGE_NAME_MAX = 64,
    DOCKERFILE_LINE_MAX = 16 * 1024, /* bytes */
};

/* The images, in order; views into the text that was read. */
struct dockerfile {
    struct view text;
    struct view images[DOCKERFILE_IMAGES_MAX];
    size_t image_count;
    struct view stages[DOCKERFILE_STAGES_MAX];
    const char *stage_ends[DOCKERFILE_STAGES_MAX]; /* of each FROM, before the line's end */
    size_t stage_count;
};

/* ERR_INVALID "invalid_dockerfile", with the line and what is not taken. */
bool dockerfile_read(struct view text, struct dockerfile *out, struct err *err) MUST_CHECK;

/* The text with ids[i] in the place of images[i], and line (without its end) behind each FROM. */
void dockerfile_write(const struct dockerfile *dockerfile, const char *const *ids, const char *line,
                      struct str *out);

#endif
