/* /api/keys: the session token goes to the auth-service with what is asked of it. */
#include "common/contracts/auth.h"
#include "common/json/write.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    EXPIRES_IN_DAYS_MAX = 36500,
    ANSWER_MAX = 2 * 1024 * 1024,
};

struct create_body {
    struct view name;
    int64_t expires_in_days;
};
static const struct json_field create_fields[] = {
    JSON_STRING(struct create_body, name, "name", .not_empty = true, .max_len = API_KEY_NAME_MAX,
                .nullable = true),
    JSON_INT(struct create_body, expires_in_days, "expiresInDays", .min = 1,
             .max = EXPIRES_IN_DAYS_MAX, .nullable = true),
};

/* on_reply gets the request. */
static void ask(struct request *request, const char *method, const struct json_schema *schema,
                const void *message, ipc_reply_fn *on_reply)
{
    const struct service_question question = {
        .service = request->gateway->auth_service,
        .method = method,
        .timeout_ms = CALL_TIMEOUT_MS,
        .schema = schema,
        .message = message,
    };
    service_ask(request, &question, on_reply);
}

static void write_new_key(const struct auth_new_key *key, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_bool(&writer, "success", true);
    json_begin_object(&writer, "apiKey");
    json_string(&writer, "id", view_of(key->id));
    json_string(&writer, "key", key->key);
    json_string(&writer, "prefix", key->prefix);
    json_view_or_null(&writer, "name", key->name);
    json_string(&writer, "createdAt", key->created_at);
    json_view_or_null(&writer, "expiresAt", key->expires_at);
    json_end_object(&writer);
    json_string(&writer, "message", VIEW("Store this key now: it is not shown again."));
    json_end_object(&writer);
}

static void on_created(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct auth_new_key key;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &auth_new_key_schema, &key);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    write_new_key(&key, &out);
    if (!str_check(&out, "new key", &failure)) {
        request_fail(request, &failure);
        return;
    }
    const struct http_response response = {.status = 201, .body = str_view(&out), .no_store = true};
    request_respond(request, &response);
}

void keys_create(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct create_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(create_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, &schema,
                                     &wanted, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    const struct auth_create_key message = {.token = view_of(request->token),
                                            .name = wanted.name,
                                            .expires_in_days = wanted.expires_in_days};
    ask(request, AUTH_CREATE_KEY, &auth_create_key_schema, &message, on_created);
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct auth_key_list list;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &auth_key_list_schema, &list);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_bool(&writer, "success", true);
    json_raw(&writer, "apiKeys", list.api_keys);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

void keys_list(struct request *request)
{
    const struct auth_list_keys message = {view_of(request->token)};
    ask(request, AUTH_LIST_KEYS, &auth_list_keys_schema, &message, on_listed);
}

static void on_revoked(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    if (!service_answered(request, err)) {
        return;
    }
    const struct http_response response = {
        .status = 200, .body = VIEW("{\"success\":true,\"message\":\"API key revoked\"}")};
    request_respond(request, &response);
}

void keys_revoke(struct request *request)
{
    if (request->id[0] == '\0') {
        struct err err = {0};
        err_set_reason(&err, ERR_NOT_FOUND, "api_key_not_found", "API key not found");
        request_fail(request, &err);
        return;
    }
    struct auth_revoke_key message = {.token = view_of(request->token)};
    memcpy(message.id, request->id, ID_SIZE);
    ask(request, AUTH_REVOKE_KEY, &auth_revoke_key_schema, &message, on_revoked);
}
