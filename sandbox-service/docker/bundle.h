/* sandbox-service/docker/bundle.h: the archive with the agent's program and all it needs. */
#ifndef SANDBOX_DOCKER_BUNDLE_H
#define SANDBOX_DOCKER_BUNDLE_H

#include "common/base/err.h"
#include "common/base/view.h"

enum { BUNDLE_VOLUME_SIZE = 32 };

/* "insien-agent-<first 12 hex digits of the file's SHA-256>". Reads the whole file: at start only.
 */
bool bundle_volume_name(const char *path, char out[BUNDLE_VOLUME_SIZE], struct err *err) MUST_CHECK;

/* Maps the file; bundle_unmap gives it back. */
bool bundle_map(const char *path, struct view *out, struct err *err) MUST_CHECK;
void bundle_unmap(struct view bundle);

#endif
