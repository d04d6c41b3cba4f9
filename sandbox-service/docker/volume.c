#include "sandbox-service/docker/volume.h"

#include "common/base/log.h"
#include "common/contracts/agent.h"
#include "common/json/write.h"
#include "sandbox-service/docker/bundle.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/docker/empty_image.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    VOLUME_BODY_MAX = 4096,
    FILL_TIMEOUT_MS = 120000,
    HELPER_MEMORY = 16 * 1024 * 1024,
};

/* In the order of what happens: the volume, the image, a leftover of the helper removed, the
 * helper, a look for the marker, the filling, the helper removed. */
struct ensuring {
    struct docker *docker;                /* borrowed */
    const struct agent_volume_spec *spec; /* borrowed */
    struct docker_call call;
    struct empty_image_call image;
    struct container_call removal;
    struct view bundle; /* mapped while it is sent */
    char helper[CONTAINER_NAME_SIZE];
    struct err err;
    agent_volume_fn *done;
    void *arg;
};

static http_reply_fn on_volume, on_helper, on_marker, on_filled;

/* The only way out. */
static void finish(struct ensuring *ensuring)
{
    bundle_unmap(ensuring->bundle);
    ensuring->done(ensuring->err.code == ERR_NONE ? NULL : &ensuring->err, ensuring->arg);
    free(ensuring);
}

static void on_helper_gone(const struct err *err, void *arg)
{
    (void)err; /* it is removed before the next one is made */
    finish(arg);
}

static void remove_helper(struct ensuring *ensuring)
{
    container_remove(ensuring->docker, &ensuring->removal, ensuring->helper, on_helper_gone,
                     ensuring);
}

static void on_leftover_gone(const struct err *err, void *arg)
{
    struct ensuring *ensuring = arg;
    const struct agent_volume_spec *spec = ensuring->spec;
    static const char *const command[] = {AGENT_PROGRAM, NULL};
    const struct container_spec helper = {
        .name = ensuring->helper,
        .image = EMPTY_IMAGE,
        .command = command,
        .instance = spec->instance,
        .agent_volume = spec->volume,
        .agent_volume_writable = true,
        .memory_bytes = HELPER_MEMORY,
        .cpu_milli = 100,
        .pids = 16,
        .open_files = 64,
    };
    if (err != NULL) {
        ensuring->err = *err;
        finish(ensuring);
        return;
    }
    AUTO(free_string) char *body = wire_write_create(&helper, &ensuring->err);
    if (body == NULL) {
        finish(ensuring);
        return;
    }
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/create?name=%s", ensuring->helper);
    const struct docker_request request = {.method = "POST", .path = path, .body = view_of(body)};
    docker_send(ensuring->docker, &ensuring->call, &request, on_helper, ensuring);
}

static void on_image(const struct err *err, void *arg)
{
    struct ensuring *ensuring = arg;
    if (err != NULL) {
        ensuring->err = *err;
        finish(ensuring);
        return;
    }
    container_remove(ensuring->docker, &ensuring->removal, ensuring->helper, on_leftover_gone,
                     ensuring);
}

static void on_volume(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct ensuring *ensuring = arg;
    if (!docker_succeeded(reply, err, "volume", &ensuring->err)) {
        finish(ensuring);
        return;
    }
    empty_image_ensure(ensuring->docker, &ensuring->image, ensuring->spec->instance, on_image,
                       ensuring);
}

static void on_helper(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct ensuring *ensuring = arg;
    if (!docker_succeeded(reply, err, "create the helper", &ensuring->err)) {
        remove_helper(ensuring);
        return;
    }
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/%s/archive?path=" AGENT_DIR "/complete",
                   ensuring->helper);
    const struct docker_request request = {.method = "GET", .path = path};
    docker_send(ensuring->docker, &ensuring->call, &request, on_marker, ensuring);
}

static void on_marker(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct ensuring *ensuring = arg;
    struct err failure = {0};
    bool complete = docker_succeeded(reply, err, "look at the volume", &failure);
    if (!complete && failure.code != ERR_NOT_FOUND) {
        ensuring->err = failure;
    }
    if (complete || ensuring->err.code != ERR_NONE ||
        !bundle_map(ensuring->spec->bundle, &ensuring->bundle, &ensuring->err)) {
        remove_helper(ensuring);
        return;
    }
    log_info("agent_volume.filling", LOG_STR("volume", ensuring->spec->volume));
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/%s/archive?path=" AGENT_DIR, ensuring->helper);
    const struct docker_request request = {
        .method = "PUT",
        .path = path,
        .content_type = "application/x-tar",
        .body = ensuring->bundle,
        .body_is_borrowed = true,
        .timeout_ms = FILL_TIMEOUT_MS,
    };
    docker_send(ensuring->docker, &ensuring->call, &request, on_filled, ensuring);
}

static void on_filled(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct ensuring *ensuring = arg;
    if (docker_succeeded(reply, err, "fill the volume", &ensuring->err)) {
        log_info("agent_volume.filled", LOG_STR("volume", ensuring->spec->volume));
    }
    remove_helper(ensuring);
}

static bool create_volume(struct ensuring *ensuring, struct err *err)
{
    struct str body = STR_INIT(VOLUME_BODY_MAX);
    struct json_writer json = json_writer_on(&body);
    json_begin_object(&json, NULL);
    json_string(&json, "Name", view_of(ensuring->spec->volume));
    json_begin_object(&json, "Labels");
    json_string(&json, LABEL_INSTANCE, view_of(ensuring->spec->instance));
    json_end_object(&json);
    json_end_object(&json);
    bool ok = str_check(&body, "the volume's description", err);
    if (ok) {
        const struct docker_request request = {
            .method = "POST", .path = "/volumes/create", .body = str_view(&body)};
        docker_send(ensuring->docker, &ensuring->call, &request, on_volume, ensuring);
    }
    str_free(&body);
    return ok;
}

bool agent_volume_ensure(struct docker *docker, const struct agent_volume_spec *spec,
                         agent_volume_fn *done, void *arg, struct err *err)
{
    struct ensuring *ensuring = calloc(1, sizeof *ensuring);
    if (ensuring == NULL) {
        return err_set(err, ERR_INTERNAL, "agent volume: out of memory");
    }
    ensuring->docker = docker;
    ensuring->spec = spec;
    ensuring->done = done;
    ensuring->arg = arg;
    (void)snprintf(ensuring->helper, sizeof ensuring->helper, "insien-%s-volume", spec->instance);
    if (!create_volume(ensuring, err)) {
        free(ensuring);
        return false;
    }
    return true;
}
