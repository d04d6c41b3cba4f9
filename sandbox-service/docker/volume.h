/* sandbox-service/docker/volume.h: the volume from which every container gets its agent. */
#ifndef SANDBOX_DOCKER_VOLUME_H
#define SANDBOX_DOCKER_VOLUME_H

#include "sandbox-service/docker/docker.h"

struct agent_volume_spec {
    const char *volume;   /* bundle_volume_name */
    const char *bundle;   /* path of the archive */
    const char *instance; /* of whom it is when it has to be made */
};

/* err NULL: the volume is there and complete. */
typedef void agent_volume_fn(const struct err *err, void *arg);

/* Fills the volume unless it is complete: through a container that is made for it, never started,
 * and removed. The bundle's last member, `complete`, tells a whole volume from one that was begun.
 * Borrows docker and spec until done, which comes exactly once, later, on the loop; false (and no
 * done) when it can't begin. */
bool agent_volume_ensure(struct docker *docker, const struct agent_volume_spec *spec,
                         agent_volume_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
