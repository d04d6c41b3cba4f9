/* sandbox-service/templates/reference.h: names of images, as registries and the engine take them:
 * [registry/]repository[:tag][@digest]. */
#ifndef SANDBOX_TEMPLATES_REFERENCE_H
#define SANDBOX_TEMPLATES_REFERENCE_H

#include "common/base/err.h"
#include "common/base/view.h"

enum {
    REFERENCE_REGISTRY_SIZE = 128,
    REFERENCE_REPOSITORY_SIZE = 201,
    REFERENCE_TAG_SIZE = 129,
    REFERENCE_DIGEST_SIZE = 72, /* "sha256:" and 64 hex digits */
    REFERENCE_TEXT_SIZE = REFERENCE_REGISTRY_SIZE + REFERENCE_REPOSITORY_SIZE + REFERENCE_TAG_SIZE +
                          REFERENCE_DIGEST_SIZE,
};

#define REFERENCE_REGISTRY_DEFAULT "docker.io"

struct reference {
    char registry[REFERENCE_REGISTRY_SIZE]; /* in lower case; the default when none was named */
    char repository[REFERENCE_REPOSITORY_SIZE];
    char tag[REFERENCE_TAG_SIZE];       /* "latest" when there is neither tag nor digest */
    char digest[REFERENCE_DIGEST_SIZE]; /* "": none */
};

/* ERR_INVALID "invalid_image". */
bool reference_parse(struct view text, struct reference *out, struct err *err) MUST_CHECK;

/* As the engine takes it everywhere; the default registry is left out, so that it is found under
 * the name that it is listed with. */
void reference_write(const struct reference *reference, char out[REFERENCE_TEXT_SIZE]);

/* Whether a comma-separated list has the registry. */
bool reference_registry_is_among(const struct reference *reference, const char *registries);

/* Whether a comma-separated list of patterns has the repository (with its registry in front, unless
 * it is the default): equal, or, behind a pattern's "*" at the end, anything. */
bool reference_is_among(const struct reference *reference, const char *patterns);

#endif
