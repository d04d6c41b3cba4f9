#include "sandbox-service/docker/start.h"

#include "common/base/crash_point.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/docker/mount_check.h"

#include <stdio.h>
#include <stdlib.h>

/* Top to bottom when all goes well. Whatever fails goes on to a removal, by name: also a create
 * that seems to have failed may have left a container. */
struct docker_start {
    struct docker *docker; /* borrowed */
    struct docker_call call;
    struct container_call removal;
    struct mount_check mounts;
    char name[CONTAINER_NAME_SIZE];
    char container_id[WIRE_ID_SIZE];
    int64_t timeout_ms;
    struct err err; /* the first failure */
    docker_started_fn *done;
    void *arg;
};

static http_reply_fn on_create_reply, on_start_reply;
static mount_check_fn on_mounts_checked;

/* The only way out. */
static void finish(struct docker_start *start)
{
    bool failed = start->err.code != ERR_NONE;
    start->done(failed ? NULL : start->container_id, failed ? &start->err : NULL, start->arg);
    free(start);
}

static void on_removed(const struct err *err, void *arg)
{
    (void)err; /* The reconciler finds strays; the caller needs to hear the first failure. */
    finish(arg);
}

static void undo(struct docker_start *start)
{
    container_remove(start->docker, &start->removal, start->name, on_removed, start);
}

static void on_create_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct docker_start *start = arg;
    if (!docker_succeeded(reply, err, "create", &start->err) ||
        !wire_read_id(reply->body, start->container_id, &start->err)) {
        undo(start);
        return;
    }
    CRASH_POINT("create.after_container");
    if (start->mounts.count > 0) {
        mount_check_begin(&start->mounts, start->docker, start->name, start->timeout_ms,
                          on_mounts_checked, start);
    } else {
        on_mounts_checked(NULL, start);
    }
}

static void on_mounts_checked(const struct err *err, void *arg)
{
    struct docker_start *start = arg;
    if (err != NULL) {
        start->err = *err;
        undo(start);
        return;
    }
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/%s/start", start->container_id);
    const struct docker_request request = {
        .method = "POST", .path = path, .timeout_ms = start->timeout_ms};
    docker_send(start->docker, &start->call, &request, on_start_reply, start);
}

static void on_start_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct docker_start *start = arg;
    if (docker_succeeded(reply, err, "start", &start->err)) {
        CRASH_POINT("create.after_start");
        finish(start);
        return;
    }
    if (start->err.code == ERR_NOT_FOUND) {
        /* Not the image: the container was removed under our hands. */
        start->err.code = ERR_CONFLICT;
    }
    undo(start);
}

struct docker_start *docker_start_begin(struct docker *docker, const struct container_spec *spec,
                                        int64_t timeout_ms, docker_started_fn *done, void *arg,
                                        struct err *err)
{
    AUTO(free_string) char *body = wire_write_create(spec, err);
    struct docker_start *start = body == NULL ? NULL : calloc(1, sizeof *start);
    if (start == NULL) {
        if (body != NULL) {
            err_set(err, ERR_INTERNAL, "docker create: out of memory");
        }
        return NULL;
    }
    start->docker = docker;
    start->timeout_ms = timeout_ms;
    start->done = done;
    start->arg = arg;
    (void)snprintf(start->name, sizeof start->name, "%s", spec->name);
    for (size_t i = 0; i < spec->mount_count; i++) {
        mount_check_add(&start->mounts, view_of(spec->mounts[i].target));
    }
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/create?name=%s", spec->name);
    const struct docker_request request = {
        .method = "POST", .path = path, .body = view_of(body), .timeout_ms = timeout_ms};
    docker_send(docker, &start->call, &request, on_create_reply, start);
    return start;
}
