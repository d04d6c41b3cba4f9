/* sandbox-service/docker/events.h: hears from the engine when containers of ours end. */
#ifndef SANDBOX_DOCKER_EVENTS_H
#define SANDBOX_DOCKER_EVENTS_H

#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/wire.h"

struct docker_events;

/* A container of the instance ended by itself or was killed. */
typedef void docker_died_fn(const char sandbox_id[ID_SIZE], void *arg);
/* It was removed, by whomever; one that ran has died before. */
typedef void docker_gone_fn(const char sandbox_id[ID_SIZE], void *arg);
/* The stream was begun (again): what happened before may have been missed, what happens from now on
 * is heard. */
typedef void docker_listening_fn(void *arg);

struct docker_events_hooks {
    docker_died_fn *on_die;
    docker_gone_fn *on_gone;
    docker_listening_fn *on_listening;
};

/* Borrows hooks and docker for its life. Listens from docker_events_listen on. */
struct docker_events *docker_events_open(struct loop *loop, struct docker *docker,
                                         const char *instance,
                                         const struct docker_events_hooks *hooks, void *arg,
                                         struct err *err) MUST_CHECK;
/* Begins, unless it listens already. After that it begins again by itself whenever the stream ends
 * while the engine is up; when the engine was away, call this again. */
void docker_events_listen(struct docker_events *events);
void docker_events_close(struct docker_events *events);

#endif
