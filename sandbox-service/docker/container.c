#include "sandbox-service/docker/container.h"

#include <stdio.h>

void container_name(const char sandbox_id[ID_SIZE], char out[CONTAINER_NAME_SIZE])
{
    (void)snprintf(out, CONTAINER_NAME_SIZE, CONTAINER_NAME_PREFIX "%s", sandbox_id);
}

static void ask(struct docker *docker, struct container_call *call, const char *method,
                const char *path, http_reply_fn *on_reply)
{
    const struct docker_request request = {.method = method, .path = path};
    docker_send(docker, &call->call, &request, on_reply, call);
}

static void on_removed(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct container_call *call = arg;
    struct err failure = {0};
    bool gone = docker_succeeded(reply, err, "remove", &failure) || failure.code == ERR_NOT_FOUND;
    call->done.removed(gone ? NULL : &failure, call->arg);
}

void container_remove(struct docker *docker, struct container_call *call, const char *name,
                      container_removed_fn *done, void *arg)
{
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/%s?force=1&v=1", name);
    call->done.removed = done;
    call->arg = arg;
    ask(docker, call, "DELETE", path, on_removed);
}

static void on_acted(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct container_call *call = arg;
    struct err failure = {0};
    bool ok = docker_succeeded(reply, err, call->what, &failure);
    call->done.acted(ok ? NULL : &failure, call->arg);
}

static void act(struct docker *docker, struct container_call *call, const char *name,
                const char *what, const char *query, container_acted_fn *done, void *arg)
{
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/%s/%s%s", name, what, query);
    call->done.acted = done;
    call->what = what;
    call->arg = arg;
    ask(docker, call, "POST", path, on_acted);
}

void container_pause(struct docker *docker, struct container_call *call, const char *name,
                     container_acted_fn *done, void *arg)
{
    act(docker, call, name, "pause", "", done, arg);
}

void container_unpause(struct docker *docker, struct container_call *call, const char *name,
                       container_acted_fn *done, void *arg)
{
    act(docker, call, name, "unpause", "", done, arg);
}

void container_stop(struct docker *docker, struct container_call *call, const char *name,
                    container_acted_fn *done, void *arg)
{
    act(docker, call, name, "stop", "?t=0", done, arg);
}

void container_start(struct docker *docker, struct container_call *call, const char *name,
                     container_acted_fn *done, void *arg)
{
    act(docker, call, name, "start", "", done, arg);
}

static void on_inspected(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct container_call *call = arg;
    struct err failure = {0};
    struct wire_container container;
    if (docker_succeeded(reply, err, "inspect", &failure) &&
        wire_read_container(reply->body, &container, &failure)) {
        call->done.inspected(&container, NULL, call->arg);
    } else {
        call->done.inspected(NULL, failure.code == ERR_NOT_FOUND ? NULL : &failure, call->arg);
    }
}

static void inspect(struct docker *docker, struct container_call *call, const char *name,
                    const char *query, container_inspected_fn *done, void *arg)
{
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/%s/json%s", name, query);
    call->done.inspected = done;
    call->arg = arg;
    ask(docker, call, "GET", path, on_inspected);
}

void container_inspect(struct docker *docker, struct container_call *call, const char *name,
                       container_inspected_fn *done, void *arg)
{
    inspect(docker, call, name, "", done, arg);
}

void container_measure(struct docker *docker, struct container_call *call, const char *name,
                       container_inspected_fn *done, void *arg)
{
    inspect(docker, call, name, "?size=1", done, arg);
}

static void on_listed(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct container_call *call = arg;
    struct err failure = {0};
    if (docker_succeeded(reply, err, "list", &failure)) {
        call->done.listed(&reply->body, NULL, call->arg);
    } else {
        call->done.listed(NULL, &failure, call->arg);
    }
}

void container_list(struct docker *docker, struct container_call *call, const char *instance,
                    container_listed_fn *done, void *arg)
{
    char path[DOCKER_PATH_SIZE];
    /* {"label":["insien.instance=<instance>","insien.sandbox"]} */
    (void)snprintf(path, sizeof path,
                   "/containers/json?all=1&filters=%%7B%%22label%%22%%3A%%5B%%22" LABEL_INSTANCE
                   "%%3D%s%%22%%2C%%22" LABEL_SANDBOX "%%22%%5D%%7D",
                   instance);
    call->done.listed = done;
    call->arg = arg;
    ask(docker, call, "GET", path, on_listed);
}

bool container_update(struct docker *docker, struct container_call *call,
                      const struct container_spec *spec, int64_t timeout_ms,
                      container_acted_fn *done, void *arg, struct err *err)
{
    AUTO(free_string) char *body = wire_write_update(spec, err);
    char path[DOCKER_PATH_SIZE];
    if (body == NULL) {
        return false;
    }
    (void)snprintf(path, sizeof path, "/containers/%s/update", spec->name);
    const struct docker_request request = {
        .method = "POST", .path = path, .body = view_of(body), .timeout_ms = timeout_ms};
    call->done.acted = done;
    call->what = "update";
    call->arg = arg;
    docker_send(docker, &call->call, &request, on_acted, call);
    return true;
}
