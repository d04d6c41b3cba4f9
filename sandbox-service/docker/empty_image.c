#include "sandbox-service/docker/empty_image.h"

#include "sandbox-service/docker/wire.h"

#include <stdio.h>

/* Two blocks of zeros: the end of an archive with nothing before it. */
static const char empty_archive[1024];

static void on_imported(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct empty_image_call *call = arg;
    struct err failure = {0};
    bool ok = docker_succeeded(reply, err, "import", &failure);
    call->done(ok ? NULL : &failure, call->arg);
}

static void on_looked(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct empty_image_call *call = arg;
    struct err failure = {0};
    bool there = docker_succeeded(reply, err, "image", &failure);
    if (there || failure.code != ERR_NOT_FOUND) {
        call->done(there ? NULL : &failure, call->arg);
        return;
    }
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(
        path, sizeof path,
        "/images/create?fromSrc=-&repo=insien/empty&tag=latest&changes=LABEL%%20" LABEL_INSTANCE
        "%%3D%s",
        call->instance);
    const struct docker_request request = {
        .method = "POST",
        .path = path,
        .content_type = "application/x-tar",
        .body = {empty_archive, sizeof empty_archive},
        .body_is_borrowed = true,
    };
    docker_send(call->docker, &call->call, &request, on_imported, call);
}

void empty_image_ensure(struct docker *docker, struct empty_image_call *call, const char *instance,
                        empty_image_fn *done, void *arg)
{
    static const struct docker_request request = {.method = "GET",
                                                  .path = "/images/" EMPTY_IMAGE "/json"};
    call->docker = docker;
    call->instance = instance;
    call->done = done;
    call->arg = arg;
    docker_send(docker, &call->call, &request, on_looked, call);
}
