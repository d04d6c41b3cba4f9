/* /api/volumes: disks that outlive sandboxes. The sandbox-service keeps them. */
#include "common/contracts/volumes.h"
#include "common/json/write.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 10 * 1000,
    ANSWER_MAX = 4 * 1024, /* about one */
};

struct create_body {
    struct view name;
    int64_t size_mb;
    bool shared;
};
static const struct json_field create_fields[] = {
    JSON_STRING(struct create_body, name, "name", .required = true, .check = volume_name_check),
    JSON_INT(struct create_body, size_mb, "sizeMB", .required = true, .min = VOLUME_SIZE_MB_MIN,
             .max = VOLUME_SIZE_MB_MAX),
    JSON_BOOL(struct create_body, shared, "shared", .nullable = true),
};

/* on_reply gets the request. */
static void ask(struct request *request, const char *method, bool repeatable,
                const struct json_schema *schema, const void *message, ipc_reply_fn *on_reply)
{
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = method,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = repeatable,
        .schema = schema,
        .message = message,
    };
    service_ask(request, &question, on_reply);
}

static void on_created(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct volume_info volume;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &volume_info_schema, &volume);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "id", view_of(volume.volume_id));
    json_string(&writer, "name", volume.name);
    json_int(&writer, "sizeMB", volume.size_mb);
    json_bool(&writer, "shared", volume.is_shared);
    json_string(&writer, "createdAt", volume.created_at);
    json_begin_array(&writer, "attachments");
    json_end_array(&writer);
    json_end_object(&writer);
    request_respond_json(request, 201, &out);
}

void volumes_create_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct create_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(create_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &wanted, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    struct volume_create message = {
        .name = wanted.name, .size_mb = wanted.size_mb, .is_shared = wanted.shared};
    if (!repeat_choose_id(request, message.volume_id, &err)) {
        request_fail(request, &err);
        return;
    }
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    ask(request, VOLUME_CREATE, true, &volume_create_schema, &message, on_created);
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct volume_list_answer answer;
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &volume_list_answer_schema, &answer);
    if (doc != NULL) {
        service_respond_list(request, "volumes", answer.volumes);
    }
}

void volumes_list_handle(struct request *request)
{
    struct volume_list message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    ask(request, VOLUME_LIST, true, &volume_list_schema, &message, on_listed);
}

static void on_deleted(const struct view *body, const struct err *err, void *arg)
{
    struct err failure = {0};
    if (err != NULL && strcmp(err->reason, "volume_in_use") == 0) {
        err_set_reason(&failure, ERR_CONFLICT, err->reason,
                       "Sandboxes that are alive, or still end, have this volume.");
        err = &failure;
    }
    service_on_done(body, err, arg);
}

void volumes_delete_handle(struct request *request)
{
    const char *problem = "";
    struct volume_delete message = {.name = request->item};
    if (!volume_name_check(request->item, &problem)) {
        request_fail_member(request, "name", problem);
        return;
    }
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    ask(request, VOLUME_DELETE, false, &volume_delete_schema, &message, on_deleted);
}
