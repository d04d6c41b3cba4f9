/* /api/admin: what administrators see and do of everybody's. The scope "admin" lets in, which
 * counts only while the user has the role; the services ask the database again before anything
 * changes. */
#include "common/contracts/admin.h"
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/native/parameters.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdio.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    ANSWER_MAX = 4 * 1024 * 1024,
    LIST_LIMIT_DEFAULT = 50,
};

static bool check_reason(struct view reason, const char **problem)
{
    size_t characters = 0;
    for (size_t i = 0; i < reason.len; i++) {
        characters += ((unsigned char)reason.ptr[i] & 0xc0) == 0x80 ? 0 : 1;
    }
    *problem = "must have at most 500 characters";
    return characters <= ADMIN_REASON_MAX;
}
_Static_assert(ADMIN_REASON_MAX == 500, "the sentence above");

struct change_body {
    struct view tier;
    bool sets_suspended;
    bool suspended;
    struct view reason;
};
static const struct json_field change_fields[] = {
    JSON_STRING(struct change_body, tier, "tier", .one_of = admin_tiers),
    JSON_BOOL(struct change_body, suspended, "suspended",
              JSON_PRESENT(struct change_body, sets_suspended)),
    JSON_STRING(struct change_body, reason, "reason", .not_empty = true, .check = check_reason),
};

/* on_reply gets the request. What changes something has the same effect when it comes twice. */
static void ask(struct request *request, struct ipc_client *service, const char *method,
                const struct json_schema *schema, const void *message, ipc_reply_fn *on_reply)
{
    const struct service_question question = {
        .service = service,
        .method = method,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = schema,
        .message = message,
    };
    service_ask(request, &question, on_reply);
}

static void respond_with_page(struct request *request, const struct view *body,
                              const struct err *err, const char *name)
{
    struct admin_page page;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &admin_page_schema, &page);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_raw(&writer, name, page.items);
    json_view_or_null(&writer, "nextCursor", page.next_cursor);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

static void on_users(const struct view *body, const struct err *err, void *arg)
{
    respond_with_page(arg, body, err, "users");
}

static void on_sandboxes(const struct view *body, const struct err *err, void *arg)
{
    respond_with_page(arg, body, err, "sandboxes");
}

static void on_keys(const struct view *body, const struct err *err, void *arg)
{
    respond_with_page(arg, body, err, "apiKeys");
}

static struct parameters parameters_of(const struct request *request)
{
    return (struct parameters){.query = http_exchange_head(request->exchange)->query};
}

static int64_t read_limit(struct parameters *parameters)
{
    return parameter_int(parameters, "limit", 1, ADMIN_PAGE_MAX, LIST_LIMIT_DEFAULT);
}

/* The last of the parameters. False when one is wrong, and the request has failed. */
static bool finish_parameters(struct request *request, const struct parameters *parameters,
                              char cursor[PARAMETER_CURSOR_SIZE])
{
    struct err err = {0};
    if (!parameters_check(parameters, &err)) {
        request_fail_validation(request, &err, &parameters->violations);
        return false;
    }
    if (!parameter_cursor(parameters, cursor, &err)) {
        request_fail(request, &err);
        return false;
    }
    return true;
}

void admin_users_list(struct request *request)
{
    char email[ADMIN_EMAIL_MAX + 1];
    char cursor[PARAMETER_CURSOR_SIZE];
    struct parameters parameters = parameters_of(request);
    parameter_text(&parameters, "email", PARAMETER_OPTIONAL, email, sizeof email);
    struct admin_list_users message = {
        .email = view_of(email),
        .tier = parameter_choice(&parameters, "tier", admin_tiers),
        .status = parameter_choice(&parameters, "status", admin_user_statuses),
        .limit = read_limit(&parameters),
    };
    if (finish_parameters(request, &parameters, cursor)) {
        message.cursor = view_of(cursor);
        ask(request, request->gateway->auth_service, ADMIN_LIST_USERS, &admin_list_users_schema,
            &message, on_users);
    }
}

void admin_sandboxes_list(struct request *request)
{
    char cursor[PARAMETER_CURSOR_SIZE];
    struct parameters parameters = parameters_of(request);
    struct admin_list_sandboxes message = {
        .status = parameter_choice(&parameters, "status", sandbox_statuses),
        .limit = read_limit(&parameters),
    };
    parameter_id(&parameters, "userId", message.user_id);
    if (finish_parameters(request, &parameters, cursor)) {
        message.cursor = view_of(cursor);
        ask(request, request->gateway->sandbox_service, ADMIN_LIST_SANDBOXES,
            &admin_list_sandboxes_schema, &message, on_sandboxes);
    }
}

void admin_keys_list(struct request *request)
{
    char cursor[PARAMETER_CURSOR_SIZE];
    struct parameters parameters = parameters_of(request);
    struct admin_list_keys message = {.limit = read_limit(&parameters)};
    parameter_id(&parameters, "userId", message.user_id);
    if (finish_parameters(request, &parameters, cursor)) {
        message.cursor = view_of(cursor);
        ask(request, request->gateway->auth_service, ADMIN_LIST_KEYS, &admin_list_keys_schema,
            &message, on_keys);
    }
}

static void fail_not_found(struct request *request, const char *reason)
{
    struct err err = {0};
    err_set_reason(&err, ERR_NOT_FOUND, reason, "there is nothing of this id");
    request_fail(request, &err);
}

static void on_changed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct admin_user changed;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &admin_user_schema, &changed);
    if (doc != NULL) {
        const struct http_response response = {.status = 200, .body = changed.user};
        request_respond(request, &response);
    }
}

static void violate(struct json_violations *violations, const char *path, const char *message)
{
    struct json_violation *violation = &violations->items[violations->count++];
    (void)snprintf(violation->path, sizeof violation->path, "%s", path);
    (void)snprintf(violation->message, sizeof violation->message, "%s", message);
}

/* Whether the members go together. */
static bool check_change(const struct change_body *wanted, struct json_violations *violations,
                         struct err *err)
{
    if (wanted->tier.len == 0 && !wanted->sets_suspended) {
        violate(violations, "", "must have tier or suspended");
    } else if (wanted->reason.len > 0 && !wanted->suspended) {
        violate(violations, "reason", "is of a suspension: suspended must be true");
    }
    const struct json_violation *first = &violations->items[0];
    return violations->count == 0 ||
           err_set_reason(err, ERR_INVALID, "validation_failed", "%s %s",
                          first->path[0] == '\0' ? "the body" : first->path, first->message);
}

void admin_users_change(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct change_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(change_fields, .refuse_unknown = true);
    if (request->id[0] == '\0') {
        fail_not_found(request, "account_not_found");
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, &schema,
                                     &wanted, &violations, &err);
    if (doc == NULL || !check_change(&wanted, &violations, &err)) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    struct admin_change_user message = {.tier = wanted.tier,
                                        .sets_suspended = wanted.sets_suspended,
                                        .suspended = wanted.suspended,
                                        .reason = wanted.reason};
    memcpy(message.admin_id, request->caller.user_id, ID_SIZE);
    memcpy(message.admin_key_id, request->caller.api_key_id, ID_SIZE);
    memcpy(message.user_id, request->id, ID_SIZE);
    ask(request, request->gateway->auth_service, ADMIN_CHANGE_USER, &admin_change_user_schema,
        &message, on_changed);
}

static void on_revoked(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    if (service_answered(request, err)) {
        const struct http_response response = {
            .status = 200, .body = VIEW("{\"success\":true,\"message\":\"API key revoked\"}")};
        request_respond(request, &response);
    }
}

void admin_keys_revoke(struct request *request)
{
    struct admin_revoke_key message = {0};
    if (request->id[0] == '\0') {
        fail_not_found(request, "api_key_not_found");
        return;
    }
    memcpy(message.admin_id, request->caller.user_id, ID_SIZE);
    memcpy(message.admin_key_id, request->caller.api_key_id, ID_SIZE);
    memcpy(message.id, request->id, ID_SIZE);
    ask(request, request->gateway->auth_service, ADMIN_REVOKE_KEY, &admin_revoke_key_schema,
        &message, on_revoked);
}

static void on_destroyed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    char answer[ID_SIZE + 40];
    if (!service_answered(request, err)) {
        return;
    }
    sandbox_cache_forget(request->gateway->sandboxes, request->id);
    (void)snprintf(answer, sizeof answer, "{\"success\":true,\"sandboxId\":\"%s\"}", request->id);
    const struct http_response response = {.status = 200, .body = view_of(answer)};
    request_respond(request, &response);
}

void admin_sandboxes_destroy(struct request *request)
{
    struct admin_destroy_sandbox message = {0};
    if (request->id[0] == '\0') {
        fail_not_found(request, "sandbox_not_found");
        return;
    }
    memcpy(message.admin_id, request->caller.user_id, ID_SIZE);
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    ask(request, request->gateway->sandbox_service, ADMIN_DESTROY_SANDBOX,
        &admin_destroy_sandbox_schema, &message, on_destroyed);
}
