#include "sandbox-service/volumes/volumes.h"

#include "common/audit/act.h"
#include "common/base/log.h"
#include "common/event/worker.h"
#include "common/json/write.h"
#include "sandbox-service/volumes/hold.h"
#include "sandbox-service/volumes/store.h"
#include "sandbox-service/volumes/sweep.h"

#include <stdlib.h>

enum {
    ANSWER_MAX = 1024 * 1024,
    WORKERS = 1, /* the order of what is done to a disk is the order it was asked for */
    WORKER_QUEUE = 256,
};

struct volumes {
    struct disks disks;
    struct audit_writer *audit; /* borrowed */
    struct volume_store *store; /* owned */
    struct worker_pool *worker; /* owned */
    struct volume_sweep *sweep; /* owned */
    struct list holds;          /* of creations */
    bool engine_came;
    size_t open_requests;
};

/* One call, until the database has answered. */
struct volume_request {
    struct volumes *volumes;       /* borrowed */
    struct ipc_exchange *exchange; /* ours until it is answered */
    struct audit_act *act;         /* owned; NULL: of those that change nothing */
    char name[VOLUME_NAME_MAX + 1];
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
    volumes->audit = options->audit;
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
    return volumes->open_requests;
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

struct worker_pool *volumes_worker(const struct volumes *volumes)
{
    return volumes->worker;
}

void volumes_note_hold(struct volumes *volumes, struct volume_hold *hold)
{
    list_append(&volumes->holds, &hold->node);
}

/* The only two ways out of a request. */
static void finish(struct volume_request *request, struct view body)
{
    audit_act_end_with(request->act, request->name, NULL);
    ipc_reply_ok(request->exchange, body);
    request->volumes->open_requests--;
    free(request);
}

static void finish_failed(struct volume_request *request, const struct err *err)
{
    audit_act_end_with(request->act, request->name, err);
    ipc_reply_error(request->exchange, err);
    request->volumes->open_requests--;
    free(request);
}

static void finish_with(struct volume_request *request, const struct json_schema *schema,
                        const void *answer)
{
    struct err err = {0};
    AUTO(str_free) struct str body = STR_INIT(ANSWER_MAX);
    struct json_writer json = json_writer_on(&body);
    json_begin_object(&json, NULL);
    json_struct(&json, schema, answer);
    json_end_object(&json);
    if (str_check(&body, "the answer", &err)) {
        finish(request, str_view(&body));
    } else {
        finish_failed(request, &err);
    }
}

/* Reads the message into body. NULL: answered with what is wrong. */
static struct volume_request *begin(struct volumes *volumes, struct ipc_exchange *exchange,
                                    const struct ipc_request *message,
                                    const struct json_schema *schema, void *body,
                                    struct json_doc **doc)
{
    struct err err = {0};
    *doc = json_read(message->body, schema, body, NULL, &err);
    struct volume_request *request = *doc == NULL ? NULL : calloc(1, sizeof *request);
    if (request == NULL) {
        if (*doc != NULL) {
            err_set(&err, ERR_INTERNAL, "request: out of memory");
        }
        log_warn("ipc.unreadable", LOG_STR("method", message->method), LOG_TRACE(&message->trace),
                 LOG_ERR(&err));
        ipc_reply_error(exchange, &err);
        return NULL;
    }
    request->volumes = volumes;
    request->exchange = exchange;
    volumes->open_requests++;
    return request;
}

/* False, and the request is answered, when there is no room for its record. */
static bool begin_act(struct volume_request *request, enum audit_action action,
                      const struct ipc_request *message, const char *user_id, const char *key_id,
                      struct view name)
{
    struct err err = {0};
    if (!view_copy(name, request->name, sizeof request->name)) {
        request->name[0] = '\0'; /* the schema has checked the length */
    }
    request->act = audit_act_begin_by(request->volumes->audit, action, "volume", &message->actor,
                                      message->trace.request_id, &err);
    if (request->act == NULL) {
        finish_failed(request, &err);
        return false;
    }
    memcpy(audit_act_record(request->act)->actor_user, user_id, ID_SIZE);
    memcpy(audit_act_record(request->act)->actor_key, key_id, ID_SIZE);
    return true;
}

static void on_made(const PGresult *result, const struct err *err, void *arg)
{
    struct volume_request *request = arg;
    struct err failure = {0};
    struct volume_info info;
    if (err != NULL) {
        finish_failed(request, err);
    } else if (!volume_store_read_info(result, &info, &failure)) {
        finish_failed(request, &failure);
    } else {
        finish_with(request, &volume_info_schema, &info);
    }
}

void volumes_handle_create(struct volumes *volumes, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct volume_create body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct volume_request *request =
        begin(volumes, exchange, message, &volume_create_schema, &body, &doc);
    if (request != NULL &&
        begin_act(request, AUDIT_VOLUME_CREATED, message, body.user_id, body.actor_key_id,
                  body.name) &&
        !volume_store_make(volumes->store, &body, on_made, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct volume_request *request = arg;
    struct err failure = {0};
    AUTO(str_free) struct str list = STR_INIT(ANSWER_MAX);
    if (err != NULL) {
        finish_failed(request, err);
    } else if (!volume_store_write_list(result, &list, &failure)) {
        finish_failed(request, &failure);
    } else {
        const struct volume_list_answer answer = {str_view(&list)};
        finish_with(request, &volume_list_answer_schema, &answer);
    }
}

void volumes_handle_list(struct volumes *volumes, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct volume_list body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct volume_request *request =
        begin(volumes, exchange, message, &volume_list_schema, &body, &doc);
    if (request != NULL &&
        !volume_store_list(volumes->store, body.user_id, on_listed, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_deleted(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct volume_request *request = arg;
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    volumes_sweep_soon(request->volumes);
    finish(request, VIEW("{}"));
}

void volumes_handle_delete(struct volumes *volumes, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct volume_delete body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct volume_request *request =
        begin(volumes, exchange, message, &volume_delete_schema, &body, &doc);
    if (request != NULL &&
        begin_act(request, AUDIT_VOLUME_DELETED, message, body.user_id, body.actor_key_id,
                  body.name) &&
        !volume_store_delete(volumes->store, &body, on_deleted, request, &err)) {
        finish_failed(request, &err);
    }
}
