#include "sandbox-service/docker/mount_check.h"

#include "common/base/clock.h"
#include "common/contracts/agent.h"
#include "common/contracts/secrets.h"

#include <stdio.h>

enum { STATUS_ENGINE_FAILED = 500 };

/* Percent-encoded, a path takes three times its length. */
_Static_assert(DOCKER_PATH_SIZE > 3 * VOLUME_PATH_MAX + WIRE_NAME_SIZE + 64,
               "a question fits in its path");

static void ask(struct mount_check *check);

void mount_check_add(struct mount_check *check, struct view target)
{
    if (check->count == MOUNT_CHECKS_MAX ||
        !view_copy(target, check->paths[check->count], sizeof check->paths[0])) {
        check->too_many = true;
        return;
    }
    check->count++;
}

/* The longest part that was not asked about is one name longer. False: there is none. */
static bool step(struct mount_check *check)
{
    if (check->at == check->count) {
        return false;
    }
    const char *path = check->paths[check->at];
    if (path[check->len] == '\0') {
        check->at++;
        check->len = 0;
        return step(check);
    }
    check->len += 1 + strcspn(path + check->len + 1, "/");
    return true;
}

static void finish(struct mount_check *check)
{
    struct err err = {0};
    if (check->too_many) {
        err_set(&err, ERR_INTERNAL, "%s: more mounts than can be looked at", check->container);
    }
    check->done(check->too_many ? &err : NULL, check->arg);
}

/* Of an answer other than 404; failure says what docker_succeeded does. */
static bool is_folder_there(const struct mount_check *check, const struct http_reply *reply,
                            const struct err *failure, struct err *err)
{
    bool is_folder = false;
    if (failure->code == ERR_NONE && !wire_read_path_stat(reply->header, &is_folder, err)) {
        return false;
    }
    /* To tell what is there the engine first mounts what the container has, and fails where a link
     * leads that to a place in which nothing can be made. */
    bool leads_nowhere = reply != NULL && reply->status == STATUS_ENGINE_FAILED;
    if (failure->code != ERR_NONE && !leads_nowhere) {
        *err = *failure;
        return false;
    }
    return is_folder || err_set_reason(err, ERR_INVALID, "volume_path_unsafe",
                                       "%s: a part of it is no folder", check->paths[check->at]);
}

static void on_answer(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct mount_check *check = arg;
    struct err failure = {0};
    struct err why = {0};
    if (!docker_succeeded(reply, err, "look at a path", &failure) &&
        failure.code == ERR_NOT_FOUND) {
        /* Nor is there anything below it: the engine makes it. */
        check->len = strlen(check->paths[check->at]);
        ask(check);
    } else if (is_folder_there(check, reply, &failure, &why)) {
        ask(check);
    } else {
        check->done(&why, check->arg);
    }
}

static void write_question(const struct mount_check *check, char out[DOCKER_PATH_SIZE])
{
    const char *path = check->paths[check->at];
    int used = snprintf(out, DOCKER_PATH_SIZE, "/containers/%s/archive?path=", check->container);
    for (size_t i = 0; i < check->len; i++) {
        used +=
            snprintf(out + used, DOCKER_PATH_SIZE - (size_t)used, "%%%02X", (unsigned char)path[i]);
    }
}

static void ask(struct mount_check *check)
{
    char path[DOCKER_PATH_SIZE];
    struct err err = {0};
    int64_t left_ms = check->until_ms - clock_monotonic_ms();
    if (!step(check)) {
        finish(check);
        return;
    }
    if (left_ms <= 0) {
        err_set_reason(&err, ERR_UNAVAILABLE, "docker_unavailable",
                       "%s: its mounts were not looked at in time", check->container);
        check->done(&err, check->arg);
        return;
    }
    write_question(check, path);
    const struct docker_request request = {.method = "HEAD",
                                           .path = path,
                                           .answer_header = "X-Docker-Container-Path-Stat",
                                           .timeout_ms = left_ms};
    docker_send(check->docker, &check->call, &request, on_answer, check);
}

static void begin(struct mount_check *check, int64_t timeout_ms)
{
    check->until_ms = clock_monotonic_ms() + timeout_ms;
    mount_check_add(check, VIEW(AGENT_DIR));
    ask(check);
}

void mount_check_begin(struct mount_check *check, struct docker *docker, const char *container,
                       int64_t timeout_ms, mount_check_fn *done, void *arg)
{
    check->docker = docker;
    check->done = done;
    check->arg = arg;
    (void)snprintf(check->container, sizeof check->container, "%s", container);
    begin(check, timeout_ms);
}

/* What else is mounted (the agent's own, lxcfs, an empty folder for secrets) has nothing in it that
 * the tenant chose. */
static void on_mount(struct view target, void *arg)
{
    struct mount_check *check = arg;
    if (!view_starts_with(target, VIEW(AGENT_DIR "/")) && !view_equal(target, VIEW(AGENT_DIR)) &&
        !view_starts_with(target, VIEW("/proc/")) && !view_equal(target, VIEW(SECRET_FILES_DIR))) {
        mount_check_add(check, target);
    }
}

static void on_inspected(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct mount_check *check = arg;
    struct err failure = {0};
    bool is_read = docker_succeeded(reply, err, "inspect", &failure) &&
                   wire_read_mounts(reply->body, on_mount, check, &failure);
    if (is_read && check->count > 0) {
        begin(check, DOCKER_TIMEOUT_MS);
    } else {
        bool has_none = is_read || failure.code == ERR_NOT_FOUND;
        check->done(has_none ? NULL : &failure, check->arg);
    }
}

void mount_check_stopped(struct mount_check *check, struct docker *docker, const char *container,
                         mount_check_fn *done, void *arg)
{
    char path[DOCKER_PATH_SIZE];
    *check = (struct mount_check){.docker = docker, .done = done, .arg = arg};
    (void)snprintf(check->container, sizeof check->container, "%s", container);
    (void)snprintf(path, sizeof path, "/containers/%s/json", container);
    const struct docker_request request = {.method = "GET", .path = path};
    docker_send(docker, &check->call, &request, on_inspected, check);
}
