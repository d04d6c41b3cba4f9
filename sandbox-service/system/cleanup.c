#include "sandbox-service/system/cleanup.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/ports/ports.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/removal.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/system/store.h"
#include "sandbox-service/templates/sweep.h"
#include "sandbox-service/templates/templates.h"
#include "sandbox-service/volumes/strays.h"
#include "sandbox-service/volumes/volumes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    DAY_S = 24 * 3600,
    NAMES_JSON_MAX = LEFTOVERS_MAX * (LEFTOVER_NAME_SIZE + 8) * 2,
    CONTAINERS_TEXT_MAX = 1024 * 1024, /* 28,000 ids */
    ESCAPED_SIZE = 3 * LEFTOVER_NAME_SIZE,
};

/* In the order of what happens: ports (and whether the caller may), containers and the rows that
 * they belong to, disks of volumes, volumes of agents, images and what names those; then, one after
 * the other, the removals. What is on the machine is read before the rows are: what has no row then
 * has none any more. */
struct cleanup {
    struct cleanup_options options;
    struct leftover_policy policy;
    struct store_call row;
    struct container_call containers;
    struct docker_call call;
    struct leftover_list leftovers;
    size_t next; /* to be removed */
    struct err err;
};

static void remove_next(struct cleanup *cleanup);

/* What keeps machine and rows in agreement anyhow, each with its own patience, is not made to wait
 * for its next turn. */
static void begin_sweeps(const struct cleanup *cleanup)
{
    if (!cleanup->options.dry_run && !cleanup->options.of_engine) {
        volumes_sweep_soon(cleanup->options.sandboxes->volumes);
        sweep_soon(cleanup->options.sandboxes->templates->sweep);
    }
}

/* The only way out. */
static void finish(struct cleanup *cleanup)
{
    begin_sweeps(cleanup);
    const struct err *err = cleanup->err.code == ERR_NONE ? NULL : &cleanup->err;
    cleanup->options.done(err == NULL ? &cleanup->leftovers : NULL, err, cleanup->options.arg);
    free(cleanup);
}

static void get(struct cleanup *cleanup, const char *path, http_reply_fn *on_reply)
{
    const struct docker_request request = {.method = "GET", .path = path};
    docker_send(cleanup->options.sandboxes->docker, &cleanup->call, &request, on_reply, cleanup);
}

static void on_named(const PGresult *result, const struct err *err, void *arg)
{
    struct cleanup *cleanup = arg;
    if (err != NULL) {
        cleanup->err = *err;
        finish(cleanup);
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        leftover_list_drop(&cleanup->leftovers, LEFTOVER_IMAGE, store_read_image(result, row));
    }
    if (cleanup->options.dry_run) {
        finish(cleanup);
    } else {
        remove_next(cleanup);
    }
}

static void on_images(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct cleanup *cleanup = arg;
    AUTO(str_free) struct str images = STR_INIT(NAMES_JSON_MAX);
    if (!docker_succeeded(reply, err, "images", &cleanup->err) ||
        !leftover_list_add_images(&cleanup->leftovers, reply->body, &cleanup->policy,
                                  &cleanup->err)) {
        finish(cleanup);
        return;
    }
    leftover_list_write_names(&cleanup->leftovers, LEFTOVER_IMAGE, &images);
    if (!str_check(&images, "the leftovers", &cleanup->err)) {
        finish(cleanup);
        return;
    }
    store_images_named(cleanup->options.sandboxes->store, &cleanup->row, images.data, on_named,
                       cleanup);
}

static void on_volumes(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct cleanup *cleanup = arg;
    char path[DOCKER_PATH_SIZE];
    if (!docker_succeeded(reply, err, "volumes", &cleanup->err) ||
        !leftover_list_add_volumes(&cleanup->leftovers, reply->body, &cleanup->policy,
                                   &cleanup->err)) {
        finish(cleanup);
        return;
    }
    /* {"label":["insien.instance=<instance>"]} */
    (void)snprintf(path, sizeof path,
                   "/images/json?filters=%%7B%%22label%%22%%3A%%5B%%22" LABEL_INSTANCE
                   "%%3D%s%%22%%5D%%7D",
                   cleanup->options.sandboxes->config->instance);
    get(cleanup, path, on_images);
}

static void list_volumes(struct cleanup *cleanup)
{
    char path[DOCKER_PATH_SIZE];
    /* {"dangling":["true"],"label":["insien.instance=<instance>"]} */
    (void)snprintf(path, sizeof path,
                   "/volumes?filters=%%7B%%22dangling%%22%%3A%%5B%%22true%%22%%5D%%2C%%22label%%22"
                   "%%3A%%5B%%22" LABEL_INSTANCE "%%3D%s%%22%%5D%%7D",
                   cleanup->options.sandboxes->config->instance);
    get(cleanup, path, on_volumes);
}

static void note(struct cleanup *cleanup, enum leftover_kind kind, struct view name,
                 bool is_unknown)
{
    struct leftover *leftover = leftover_list_add(&cleanup->leftovers, kind, name);
    if (leftover != NULL) {
        leftover->unknown = is_unknown;
    }
}

static void on_disks(const char (*ids)[ID_SIZE], size_t count, const struct err *err, void *arg)
{
    struct cleanup *cleanup = arg;
    if (err != NULL) {
        cleanup->err = *err;
        finish(cleanup);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        note(cleanup, LEFTOVER_DISK, view_of(ids[i]), true);
    }
    list_volumes(cleanup);
}

static void on_left(const PGresult *result, const struct err *err, void *arg)
{
    struct cleanup *cleanup = arg;
    for (int row = 0; err == NULL && row < pg_rows(result); row++) {
        bool is_unknown;
        struct view id = store_read_left(result, row, &is_unknown);
        note(cleanup, LEFTOVER_CONTAINER, id, is_unknown);
    }
    if (err != NULL) {
        cleanup->err = *err;
    } else if (strays_find(cleanup->options.sandboxes->volumes, on_disks, cleanup, &cleanup->err)) {
        return;
    }
    finish(cleanup);
}

/* Collects containers: which of them are left over the rows tell. */
struct collecting {
    struct cleanup *cleanup;
    struct str ids;
};

static void on_container(const struct wire_listed *container, void *arg)
{
    struct collecting *collecting = arg;
    const struct sandboxes *sandboxes = collecting->cleanup->options.sandboxes;
    if (container->sandbox_id[0] != '\0' &&
        !sandbox_is_being_created(sandboxes, container->sandbox_id)) {
        str_append_char(&collecting->ids, collecting->ids.len == 0 ? '{' : ',');
        str_append_string(&collecting->ids, container->sandbox_id);
    }
}

static void on_containers(const struct view *list, const struct err *err, void *arg)
{
    struct cleanup *cleanup = arg;
    struct collecting collecting = {cleanup, STR_INIT(CONTAINERS_TEXT_MAX)};
    if (err != NULL) {
        cleanup->err = *err;
        finish(cleanup);
        return;
    }
    bool ok = wire_read_list(*list, on_container, &collecting, &cleanup->err);
    str_append_string(&collecting.ids, collecting.ids.len == 0 ? "{}" : "}");
    if (ok && str_check(&collecting.ids, "the containers", &cleanup->err)) {
        store_left(cleanup->options.sandboxes->store, &cleanup->row, collecting.ids.data, on_left,
                   cleanup);
    } else {
        finish(cleanup);
    }
    str_free(&collecting.ids);
}

/* "<sandbox id>/<port>"; its row is gone already, unless this is a dry run. */
static void note_port(struct cleanup *cleanup, struct view port)
{
    struct sandboxes *sandboxes = cleanup->options.sandboxes;
    char id[ID_SIZE];
    struct leftover *leftover = leftover_list_add(&cleanup->leftovers, LEFTOVER_PORT, port);
    if (cleanup->options.dry_run) {
        return;
    }
    if (leftover != NULL) {
        leftover->removed = true;
    }
    if (id_parse(view_cut(&port, '/'), id)) {
        ports_forget(sandboxes->ports, id);
        sandboxes_publish(sandboxes, id);
    }
}

static void on_ports(const PGresult *result, const struct err *err, void *arg)
{
    struct cleanup *cleanup = arg;
    const struct sandboxes *sandboxes = cleanup->options.sandboxes;
    if (err != NULL) {
        cleanup->err = *err;
        finish(cleanup);
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        note_port(cleanup, store_read_left_port(result, row));
    }
    container_list(sandboxes->docker, &cleanup->containers, sandboxes->config->instance,
                   on_containers, cleanup);
}

/* Names of images have slashes, ids colons: all is escaped but what is harmless. */
static void escape(const char *name, char out[ESCAPED_SIZE])
{
    size_t at = 0;
    for (const char *c = name; *c != '\0' && at + 4 <= ESCAPED_SIZE; c++) {
        bool plain = isalnum((unsigned char)*c) != 0 || strchr("._-/:@", *c) != NULL;
        int length =
            snprintf(out + at, ESCAPED_SIZE - at, plain ? "%c" : "%%%02X", (unsigned char)*c);
        at += (size_t)length;
    }
    out[at] = '\0';
}

static void note_removed(struct cleanup *cleanup, const struct err *err)
{
    struct leftover *leftover = &cleanup->leftovers.items[cleanup->next++];
    leftover->removed = err == NULL;
    if (err != NULL) {
        log_info("cleanup.kept", LOG_STR("name", leftover->name), LOG_ERR(err));
    }
    remove_next(cleanup);
}

static void on_removed(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct err failure = {0};
    /* Somebody uses it after all (409), or it went by itself. */
    bool is_gone = docker_succeeded(reply, err, "remove a leftover", &failure) ||
                   failure.code == ERR_NOT_FOUND;
    note_removed(arg, is_gone ? NULL : &failure);
}

static void on_disk_removed(const struct err *err, void *arg)
{
    note_removed(arg, err);
}

static void remove_from_engine(struct cleanup *cleanup, const struct leftover *leftover)
{
    char path[DOCKER_PATH_SIZE + ESCAPED_SIZE];
    char name[ESCAPED_SIZE];
    escape(leftover->name, name);
    (void)snprintf(path, sizeof path, "/%s/%s",
                   leftover->kind == LEFTOVER_VOLUME ? "volumes" : "images", name);
    const struct docker_request request = {.method = "DELETE", .path = path};
    docker_send(cleanup->options.sandboxes->docker, &cleanup->call, &request, on_removed, cleanup);
}

/* False when its removal is under way and comes back to remove_next. */
static bool remove_one(struct cleanup *cleanup, struct leftover *leftover)
{
    struct sandboxes *sandboxes = cleanup->options.sandboxes;
    struct err err = {0};
    if (leftover->kind == LEFTOVER_PORT || (leftover->unknown && !cleanup->options.unknown)) {
        return true;
    }
    if (leftover->kind == LEFTOVER_CONTAINER) {
        sandbox_remove(sandboxes, leftover->name, &cleanup->options.trace);
        leftover->removed = sandbox_is_being_removed(sandboxes, leftover->name);
        return true;
    }
    if (leftover->kind == LEFTOVER_DISK) {
        return !stray_remove(sandboxes->volumes, leftover->name, on_disk_removed, cleanup, &err);
    }
    remove_from_engine(cleanup, leftover);
    return false;
}

static void remove_next(struct cleanup *cleanup)
{
    while (cleanup->next < cleanup->leftovers.count &&
           clock_monotonic_ms() < cleanup->options.until_ms) {
        if (!remove_one(cleanup, &cleanup->leftovers.items[cleanup->next])) {
            return;
        }
        cleanup->next++;
    }
    finish(cleanup);
}

bool cleanup_begin(const struct cleanup_options *options, struct err *err)
{
    const struct sandboxes *sandboxes = options->sandboxes;
    if (!sandboxes->engine_ready || !docker_is_up(sandboxes->docker)) {
        return err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable", "docker is not ready");
    }
    struct cleanup *cleanup = calloc(1, sizeof *cleanup);
    if (cleanup == NULL) {
        return err_set(err, ERR_INTERNAL, "cleanup: out of memory");
    }
    cleanup->options = *options;
    int64_t keep_days = sandboxes->config->image_keep_days;
    cleanup->policy = (struct leftover_policy){
        .before = keep_days == 0 ? 0 : (int64_t)time(NULL) - keep_days * DAY_S,
        .agent_volume = sandboxes->agent_volume,
        .instance = sandboxes->config->instance,
    };
    if (options->of_engine) {
        list_volumes(cleanup);
    } else {
        store_ports_left(sandboxes->store, &cleanup->row, sandboxes->config, options->admin_id,
                         !options->dry_run, on_ports, cleanup);
    }
    return true;
}
