/* /api/keys: what a caller asks about keys, and who asks, goes to the auth-service. */
#include "common/contracts/auth.h"
#include "common/json/write.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    EXPIRES_IN_DAYS_MAX = 36500,
    ANSWER_MAX = 2 * 1024 * 1024,
    SCOPES_MAX = 16, /* in a list, which may name one twice */
    SCOPE_NAME_MAX = 32,
};

struct create_body {
    struct view name;
    int64_t expires_in_days;
    struct json_strings scopes;
    bool has_scopes;
    int64_t max_sandboxes;
    int64_t requests_per_minute;
};
static const struct json_field create_fields[] = {
    JSON_STRING(struct create_body, name, "name", .not_empty = true, .max_len = API_KEY_NAME_MAX,
                .nullable = true),
    JSON_INT(struct create_body, expires_in_days, "expiresInDays", .min = 1,
             .max = EXPIRES_IN_DAYS_MAX, .nullable = true),
    JSON_STRINGS(struct create_body, scopes, "scopes", .max_len = SCOPES_MAX,
                 .item_max = SCOPE_NAME_MAX, .check = auth_scope_check, .nullable = true,
                 JSON_PRESENT(struct create_body, has_scopes)),
    JSON_INT(struct create_body, max_sandboxes, "maxSandboxes", .min = 1, .max = API_KEY_LIMIT_MAX,
             .nullable = true),
    JSON_INT(struct create_body, requests_per_minute, "requestsPerMinute", .min = 1,
             .max = API_KEY_LIMIT_MAX, .nullable = true),
};

struct rotate_body {
    int64_t overlap_s;
};
static const struct json_field rotate_fields[] = {
    JSON_INT(struct rotate_body, overlap_s, "overlapS", .min = 0, .max = API_KEY_OVERLAP_S_MAX,
             .nullable = true),
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

static void write_limit(struct json_writer *writer, const char *name, int64_t limit)
{
    if (limit == 0) {
        json_null(writer, name);
    } else {
        json_int(writer, name, limit);
    }
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
    json_string_or_null(&writer, "parentId", key->parent_id);
    auth_scopes_write(&writer, "scopes", (unsigned)key->scopes);
    write_limit(&writer, "maxSandboxes", key->max_sandboxes);
    write_limit(&writer, "requestsPerMinute", key->requests_per_minute);
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

/* Of what a repeat must find again; without one any is right. */
static void choose_id(const struct request *request, char out[ID_SIZE])
{
    const char *id = repeat_resource_id(request);
    if (id != NULL) {
        memcpy(out, id, ID_SIZE);
    }
}

/* Reads the body, {} when there is none; NULL: the request has failed. */
static struct json_doc *read_body(struct request *request, const struct json_schema *schema,
                                  void *out)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct json_doc *doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, schema,
                                     out, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
    }
    return doc;
}

/* The bits of those named; false: none is. */
static bool collect_scopes(const struct create_body *wanted, int64_t *scopes)
{
    unsigned all = 0;
    for (size_t i = 0; i < wanted->scopes.count; i++) {
        all |= auth_scope_find(wanted->scopes.items[i]);
    }
    *scopes = all;
    return all != 0 || !wanted->has_scopes;
}

void keys_create(struct request *request)
{
    struct create_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(create_fields);
    struct auth_create_key message = {0};
    AUTO(json_doc_release) struct json_doc *doc = read_body(request, &schema, &wanted);
    if (doc == NULL) {
        return;
    }
    if (!collect_scopes(&wanted, &message.scopes)) {
        request_fail_member(request, "scopes", "must name at least one");
        return;
    }
    choose_id(request, message.id);
    message.name = wanted.name;
    message.expires_in_days = wanted.expires_in_days;
    message.max_sandboxes = wanted.max_sandboxes;
    message.requests_per_minute = wanted.requests_per_minute;
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    ask(request, AUTH_CREATE_KEY, &auth_create_key_schema, &message, on_created);
}

/* False: the path names no key, and the request has failed. */
static bool check_id(struct request *request)
{
    struct err err = {0};
    if (request->id[0] != '\0') {
        return true;
    }
    err_set_reason(&err, ERR_NOT_FOUND, "api_key_not_found", "API key not found");
    request_fail(request, &err);
    return false;
}

void keys_rotate(struct request *request)
{
    struct rotate_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(rotate_fields);
    if (!check_id(request)) {
        return;
    }
    AUTO(json_doc_release) struct json_doc *doc = read_body(request, &schema, &wanted);
    if (doc == NULL) {
        return;
    }
    struct auth_rotate_key message = {.overlap_s = wanted.overlap_s};
    choose_id(request, message.new_id);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    memcpy(message.id, request->id, ID_SIZE);
    ask(request, AUTH_ROTATE_KEY, &auth_rotate_key_schema, &message, on_created);
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
    struct auth_list_keys message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
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
    if (!check_id(request)) {
        return;
    }
    struct auth_revoke_key message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    memcpy(message.id, request->id, ID_SIZE);
    ask(request, AUTH_REVOKE_KEY, &auth_revoke_key_schema, &message, on_revoked);
}
