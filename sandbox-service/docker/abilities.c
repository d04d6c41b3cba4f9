#include "sandbox-service/docker/abilities.h"

#include "common/base/log.h"
#include "sandbox-service/docker/empty_image.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    TRIAL_MEMORY = 16 * 1024 * 1024,
    TRIAL_DISK = 64 * 1024 * 1024,
};

/* Each is a container that is made, with that one limit, and removed again without ever being
 * started: the engine checks what it is asked for when it makes one. */
enum { TRIAL_DISK_LIMIT, TRIAL_CPUSET, TRIAL_COUNT };

static void remove_leftover(struct abilities_call *call);

static bool is_worth_it(const struct abilities_call *call)
{
    return call->trial == TRIAL_DISK_LIMIT ? call->tries_disk : call->cpus > 0;
}

static void finish(struct abilities_call *call)
{
    if (call->err.code != ERR_NONE) {
        call->done(&call->err, call->arg);
        return;
    }
    call->found.memory_mb = call->out->memory_mb;
    *call->out = call->found;
    log_info("engine.abilities", LOG_INT("limits_disk", call->out->limits_disk),
             LOG_INT("cpus", call->out->cpus),
             LOG_STR("lxcfs", call->out->lxcfs_dir == NULL ? "" : call->out->lxcfs_dir));
    call->done(NULL, call->arg);
}

static void go_on(struct abilities_call *call)
{
    while (++call->trial < TRIAL_COUNT && !is_worth_it(call)) {
    }
    if (call->trial < TRIAL_COUNT && call->err.code == ERR_NONE) {
        remove_leftover(call);
    } else {
        finish(call);
    }
}

static void on_removed(const struct err *err, void *arg)
{
    (void)err; /* it is removed before the next one is made */
    go_on(arg);
}

static void on_made(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct abilities_call *call = arg;
    struct err refusal = {0};
    if (err != NULL) {
        call->err = *err;
    } else if (!docker_succeeded(reply, err, "try a limit", &refusal)) {
        log_info("engine.limit_refused", LOG_ERR(&refusal));
    } else if (call->trial == TRIAL_DISK_LIMIT) {
        call->found.limits_disk = true;
    } else {
        call->found.cpus = call->cpus;
    }
    container_remove(call->docker, &call->removal, call->name, on_removed, call);
}

static void make(struct abilities_call *call)
{
    static const char *const command[] = {"/none", NULL};
    const struct container_spec spec = {
        .name = call->name,
        .image = EMPTY_IMAGE,
        .command = command,
        .instance = call->instance,
        .memory_bytes = TRIAL_MEMORY,
        .cpu_milli = 100,
        .pids = 16,
        .open_files = 64,
        .disk_bytes = call->trial == TRIAL_DISK_LIMIT ? TRIAL_DISK : 0,
        .cpus = call->trial == TRIAL_CPUSET ? call->cpu_list : NULL,
    };
    struct err err = {0};
    AUTO(free_string) char *body = wire_write_create(&spec, &err);
    if (body == NULL) {
        log_warn("engine.limit_not_tried", LOG_ERR(&err));
        go_on(call);
        return;
    }
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/containers/create?name=%s", call->name);
    const struct docker_request request = {.method = "POST", .path = path, .body = view_of(body)};
    docker_send(call->docker, &call->call, &request, on_made, call);
}

static void on_leftover_gone(const struct err *err, void *arg)
{
    struct abilities_call *call = arg;
    if (err != NULL || !is_worth_it(call)) {
        if (err != NULL && (err->code == ERR_TIMEOUT || !docker_is_up(call->docker))) {
            call->err = *err; /* it did not answer; a refusal costs this limit alone */
        }
        go_on(call);
        return;
    }
    make(call);
}

static void remove_leftover(struct abilities_call *call)
{
    container_remove(call->docker, &call->removal, call->name, on_leftover_gone, call);
}

static const char *find_lxcfs(const char *dir)
{
    char path[WIRE_PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/proc/meminfo", dir);
    bool there =
        dir[0] == '/' && length > 0 && (size_t)length < sizeof path && access(path, R_OK) == 0;
    return there ? dir : NULL;
}

void abilities_find(struct docker *docker, struct abilities_call *call,
                    const struct abilities_options *options, struct abilities *out,
                    abilities_known_fn *done, void *arg)
{
    int64_t cpus = options->binds_cpus ? options->info->cpus : 0;
    *call = (struct abilities_call){
        .docker = docker,
        .out = out,
        .found.lxcfs_dir = find_lxcfs(options->lxcfs_dir),
        .instance = options->instance,
        .trial = TRIAL_DISK_LIMIT,
        .cpus = cpus <= ABILITIES_CPUS_MAX ? cpus : 0,
        /* Other drivers count the image as well. */
        .tries_disk = strcmp(options->info->driver, "overlay2") == 0,
        .done = done,
        .arg = arg,
    };
    (void)snprintf(call->name, sizeof call->name, "insien-%s-trial", options->instance);
    (void)snprintf(call->cpu_list, sizeof call->cpu_list, "0-%" PRId64, cpus - 1);
    remove_leftover(call);
}
