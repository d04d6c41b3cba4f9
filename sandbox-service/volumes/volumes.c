#include "sandbox-service/volumes/volumes.h"

#include "common/base/crash_point.h"
#include "common/event/worker.h"
#include "sandbox-service/call.h"
#include "sandbox-service/volumes/hold.h"
#include "sandbox-service/volumes/store.h"
#include "sandbox-service/volumes/sweep.h"

#include <stdlib.h>

enum {
    LIST_MAX = 1024 * 1024,
    WORKERS = 1, /* the order of what is done to a disk is the order it was asked for */
    WORKER_QUEUE = 256,
};

struct volumes {
    struct disks disks;
    struct volume_store *store; /* owned */
    struct worker_pool *worker; /* owned */
    struct volume_sweep *sweep; /* owned */
    struct list holds;          /* of creations */
    bool engine_came;
    struct calls calls;
};

static bool is_held(const char volume_id[ID_SIZE], void *arg)
{
    struct volumes *volumes = arg;
    for (LIST_EACH(node, &volumes->holds)) {
        const struct volume_hold *hold = LIST_ENTRY(node, struct volume_hold, node);
        for (size_t i = 0; i < hold->count; i++) {
            if (strcmp(hold->items[i].id, volume_id) == 0) {
                return true;
            }
        }
    }
    return false;
}

static struct worker_pool *worker_of(void *arg)
{
    return volumes_worker(arg);
}

static bool open_parts(struct volumes *volumes, const struct volumes_options *options,
                       struct err *err)
{
    const struct volume_store_options store = {.url = options->database_url,
                                               .instance = options->instance,
                                               .node = options->node,
                                               .limits = options->limits};
    if (!disks_open(&volumes->disks, err) ||
        (volumes->store = volume_store_open(options->loop, &store, err)) == NULL ||
        (volumes->worker = worker_pool_new(options->loop, WORKERS, WORKER_QUEUE, err)) == NULL) {
        return false;
    }
    const struct volume_sweep_options sweep = {.loop = options->loop,
                                               .store = volumes->store,
                                               .worker = worker_of,
                                               .disks = &volumes->disks,
                                               .interval_ms = options->sweep_interval_ms,
                                               .may_remove_strays = options->may_remove_strays,
                                               .is_held = is_held,
                                               .arg = volumes};
    volumes->sweep = volume_sweep_open(&sweep, err);
    return volumes->sweep != NULL;
}

struct volumes *volumes_open(const struct volumes_options *options, struct err *err)
{
    struct volumes *volumes = calloc(1, sizeof *volumes);
    if (volumes == NULL) {
        err_set(err, ERR_INTERNAL, "volumes: out of memory");
        return NULL;
    }
    volumes->disks.folder = options->folder;
    volumes->disks.reserve_mb = options->reserve_mb;
    volumes->calls = (struct calls){.part = volumes,
                                    .audit = options->audit,
                                    .target_kind = "volume",
                                    .size = sizeof(struct call)};
    list_init(&volumes->holds);
    if (!open_parts(volumes, options, err)) {
        volumes_close(volumes);
        return NULL;
    }
    return volumes;
}

void volumes_engine_came(struct volumes *volumes, uid_t root_uid, gid_t root_gid)
{
    if (!volumes->engine_came) { /* the worker reads them from here on */
        volumes->disks.root_uid = root_uid;
        volumes->disks.root_gid = root_gid;
        volumes->engine_came = true;
    }
    volume_sweep_soon(volumes->sweep);
}

/* The worker's jobs too: every done comes in here, and none behind. */
bool volumes_fail_all(struct volumes *volumes)
{
    struct worker_pool *worker = volumes->worker;
    volumes->worker = NULL;
    if (worker != NULL) {
        worker_pool_free(worker);
    }
    return volume_store_fail_all(volumes->store) || worker != NULL;
}

void volumes_close(struct volumes *volumes)
{
    if (volumes == NULL) {
        return;
    }
    if (volumes->store != NULL) {
        (void)volumes_fail_all(volumes);
    }
    volume_sweep_close(volumes->sweep);
    volume_store_close(volumes->store);
    free(volumes);
}

size_t volumes_open_requests(const struct volumes *volumes)
{
    return volumes->calls.open;
}

void volumes_sweep_soon(struct volumes *volumes)
{
    if (volumes != NULL && volumes->engine_came) {
        volume_sweep_soon(volumes->sweep);
    }
}

const struct disks *volumes_disks(const struct volumes *volumes)
{
    return &volumes->disks;
}

struct volume_store *volumes_store(const struct volumes *volumes)
{
    return volumes->store;
}

struct worker_pool *volumes_worker(const struct volumes *volumes)
{
    return volumes->worker;
}

void volumes_note_hold(struct volumes *volumes, struct volume_hold *hold)
{
    list_append(&volumes->holds, &hold->node);
}

static bool begin_act(struct call *call, enum audit_action action, const char *user_id,
                      const char *key_id, struct view name)
{
    const struct call_act act = {action, user_id, key_id, name};
    return call_begin_act(call, &act);
}

static void on_made(const PGresult *result, const struct err *err, void *arg)
{
    struct call *call = arg;
    struct err failure = {0};
    struct volume_info info;
    if (err != NULL) {
        call_fail(call, err);
    } else if (!volume_store_read_info(result, &info, &failure)) {
        call_fail(call, &failure);
    } else {
        CRASH_POINT("volume.after_row");
        call_finish_with(call, &volume_info_schema, &info);
    }
}

void volumes_handle_create(struct volumes *volumes, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct volume_create body;
    struct err err = {0};
    struct call *call =
        call_begin(&volumes->calls, exchange, message, &volume_create_schema, &body);
    if (call != NULL &&
        begin_act(call, AUDIT_VOLUME_CREATED, body.user_id, body.actor_key_id, body.name) &&
        !volume_store_make(volumes->store, &body, on_made, call, &err)) {
        call_fail(call, &err);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct call *call = arg;
    struct err failure = {0};
    AUTO(str_free) struct str list = STR_INIT(LIST_MAX);
    if (err != NULL) {
        call_fail(call, err);
    } else if (!volume_store_write_list(result, &list, &failure)) {
        call_fail(call, &failure);
    } else {
        const struct volume_list_answer answer = {str_view(&list)};
        call_finish_with(call, &volume_list_answer_schema, &answer);
    }
}

void volumes_handle_list(struct volumes *volumes, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct volume_list body;
    struct err err = {0};
    struct call *call = call_begin(&volumes->calls, exchange, message, &volume_list_schema, &body);
    if (call != NULL && !volume_store_list(volumes->store, body.user_id, on_listed, call, &err)) {
        call_fail(call, &err);
    }
}

static void on_deleted(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct call *call = arg;
    if (err != NULL) {
        call_fail(call, err);
        return;
    }
    CRASH_POINT("volume_removal.after_row");
    volumes_sweep_soon(call->calls->part);
    call_finish_empty(call);
}

void volumes_handle_delete(struct volumes *volumes, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct volume_delete body;
    struct err err = {0};
    struct call *call =
        call_begin(&volumes->calls, exchange, message, &volume_delete_schema, &body);
    if (call != NULL &&
        begin_act(call, AUDIT_VOLUME_DELETED, body.user_id, body.actor_key_id, body.name) &&
        !volume_store_delete(volumes->store, &body, on_deleted, call, &err)) {
        call_fail(call, &err);
    }
}
