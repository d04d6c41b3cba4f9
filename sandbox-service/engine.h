/* sandbox-service/engine.h: what must be so on the engine before sandboxes can start there: done
 * anew each time the engine comes. */
#ifndef SANDBOX_ENGINE_H
#define SANDBOX_ENGINE_H

#include "common/base/err.h"

struct docker;
struct engine;
struct loop;
struct network;
struct reconciler;
struct sandboxes;

/* Borrowed for the engine's life. */
struct engine_options {
    struct loop *loop;
    struct docker *docker;
    struct sandboxes *sandboxes;
    struct reconciler *reconciler;
    struct network *network;
};

struct engine *engine_new(const struct engine_options *options, struct err *err) MUST_CHECK;
/* When nothing of it is in flight: after docker_fail_all. */
void engine_free(struct engine *engine);

/* The engine came: finds out how it maps users, fills the agent's volume, begins to listen to its
 * events (so that the reconciler runs), has the network checked. Sandboxes can be created as soon
 * as the volume is there. */
void engine_came(struct engine *engine);
void engine_went(struct engine *engine);

#endif
