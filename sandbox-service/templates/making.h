/* sandbox-service/templates/making.h: the image of one template, made on the engine: from an image
 * that is there or is pulled, built from a Dockerfile, or of what a container has on its disk. */
#ifndef SANDBOX_TEMPLATES_MAKING_H
#define SANDBOX_TEMPLATES_MAKING_H

#include "sandbox-service/templates/dockerfile.h"
#include "sandbox-service/templates/fetch.h"

enum { MAKING_IMAGE_SIZE = 128, MAKING_FILE_NAME_SIZE = 64 };

/* What makings have in common; borrowed for their life. */
struct making_shared {
    struct loop *loop;
    struct docker *docker;
    struct image_policy policy;
    const char *instance;
    int64_t timeout_ms;   /* of one, from its begin */
    int64_t image_mb;     /* a larger image is not kept */
    int64_t build_memory; /* bytes, of a container that runs a step */
    int64_t build_cpu_milli;
};

struct making_source {
    const char *container;  /* whose disk it is; copied; NULL: the next say */
    const char *copied;     /* an image of ours that it is; copied; NULL: the next say */
    struct view reference;  /* of an image; empty: it is built */
    struct view dockerfile; /* borrowed until done, as the folder */
    struct view folder;     /* an archive (tar); may be empty */
    const char *network;    /* of the steps; NULL: none */
};

/* failure is NULL when the image is there; else a code for clients: "image_not_found",
 * "pull_failed", "build_failed", "image_has_triggers", "image_has_volumes",
 * "image_too_large", "invalid_folder", "template_timeout", "sandbox_gone", "docker_unavailable",
 * "internal". Nothing is left of a making that failed but layers that the engine keeps for later.
 */
typedef void making_done_fn(const char *failure, int64_t size_bytes, void *arg);
/* The log has grown. */
typedef void making_news_fn(void *arg);

struct making;

/* ERR_INVALID "invalid_image", "invalid_dockerfile", "registry_not_allowed": what can be said of a
 * source before anything is done. */
bool making_check(const struct making_shared *shared, struct view reference, struct view dockerfile,
                  struct err *err) MUST_CHECK;

/* Begins; the image gets the name image. done comes exactly once, later, on the loop. The caller
 * owns it, and ends it with making_free behind done, or before: then the engine stops. */
struct making *making_begin(const struct making_shared *shared, const struct making_source *source,
                            const char *image, struct progress *progress, making_news_fn *news,
                            making_done_fn *done, void *arg, struct err *err) MUST_CHECK;
/* NULL is fine. */
void making_free(struct making *making);

#endif
