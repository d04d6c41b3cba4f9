/* /api/secrets: values that sandboxes get and nobody reads back. The sandbox-service keeps them. */
#include "common/contracts/secrets.h"
#include "common/json/write.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 10 * 1000,
    ANSWER_MAX = 4 * 1024, /* about one */
};

struct set_body {
    struct view value;
};
static const struct json_field set_fields[] = {
    JSON_STRING(struct set_body, value, "value", .required = true, .max_len = SECRET_VALUE_MAX),
};

/* on_reply gets the request. All of it may be repeated: the same again changes nothing. */
static void ask(struct request *request, const char *method, const struct json_schema *schema,
                const void *message, ipc_reply_fn *on_reply)
{
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = method,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = schema,
        .message = message,
    };
    service_ask(request, &question, on_reply);
}

/* The {item} of the path. False: the request has failed. */
static bool check_name(struct request *request)
{
    const char *problem = "";
    if (secret_name_check(request->item, &problem)) {
        return true;
    }
    request_fail_member(request, "name", problem);
    return false;
}

static void on_set(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct secret_info secret;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &secret_info_schema, &secret);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "name", secret.name);
    json_string(&writer, "createdAt", secret.created_at);
    json_string(&writer, "updatedAt", secret.updated_at);
    json_end_object(&writer);
    request_respond_json(request, secret.is_new ? 201 : 200, &out);
}

void secrets_set_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct set_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(set_fields);
    if (!check_name(request)) {
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &wanted, &violations, &err);
    json_doc_mark_secret(doc);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    struct secret_set message = {.name = request->item, .value = wanted.value};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    ask(request, SECRET_SET, &secret_set_schema, &message, on_set);
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct secret_list_answer answer;
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &secret_list_answer_schema, &answer);
    if (doc != NULL) {
        service_respond_list(request, "secrets", answer.secrets);
    }
}

void secrets_list_handle(struct request *request)
{
    struct secret_list message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    ask(request, SECRET_LIST, &secret_list_schema, &message, on_listed);
}

void secrets_delete_handle(struct request *request)
{
    struct secret_delete message = {.name = request->item};
    if (!check_name(request)) {
        return;
    }
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = SECRET_DELETE,
        .timeout_ms = CALL_TIMEOUT_MS,
        .schema = &secret_delete_schema,
        .message = &message,
    };
    service_ask(request, &question, service_on_done);
}
