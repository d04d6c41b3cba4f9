/* /api/webhooks: where a user's events are sent to. What is asked goes to the sandbox-service,
 * which delivers them. */
#include "common/contracts/events.h"
#include "common/json/write.h"
#include "gateway/native/parameters.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    HOOK_ANSWER_MAX = 64 * 1024,
    LIST_ANSWER_MAX = 4 * 1024 * 1024,
    DEAD_DEFAULT = 50,
};

struct create_body {
    struct view url;
    struct json_strings types;
    struct view description;
};
static const struct json_field create_fields[] = {
    JSON_STRING(struct create_body, url, "url", .required = true, .not_empty = true,
                .max_len = WEBHOOK_URL_MAX),
    JSON_STRINGS(struct create_body, types, "types", .max_len = WEBHOOK_TYPES_MAX,
                 .item_max = EVENT_TYPE_MAX, .check = event_type_check, .nullable = true),
    JSON_STRING(struct create_body, description, "description", .max_len = WEBHOOK_DESCRIPTION_MAX,
                .nullable = true),
};

/* on_reply gets the request. */
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

static void on_created(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct webhook_made made;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &webhook_made_schema, &made);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(HOOK_ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_bool(&writer, "success", true);
    json_raw(&writer, "webhook", made.webhook);
    json_string(&writer, "secret", made.secret);
    json_string(&writer, "message", VIEW("Store this secret now: it is not shown again."));
    json_end_object(&writer);
    if (!str_check(&out, "new webhook", &failure)) {
        request_fail(request, &failure);
        return;
    }
    const struct http_response response = {.status = 201, .body = str_view(&out), .no_store = true};
    request_respond(request, &response);
}

void hooks_create(struct request *request)
{
    struct err err = {0};
    struct create_body wanted = {0};
    struct webhook_create message = {0};
    struct json_violations violations = {0};
    const struct json_schema schema = JSON_SCHEMA(create_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &wanted, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    if (!repeat_choose_id(request, message.id, &err)) {
        request_fail(request, &err);
        return;
    }
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    message.url = wanted.url;
    message.types = wanted.types;
    message.description = wanted.description;
    ask(request, WEBHOOK_CREATE, &webhook_create_schema, &message, on_created);
}

/* A list under that name, with a cursor when the list has pages. */
static void respond_list(struct request *request, const struct view *body, const struct err *err,
                         const char *name, bool has_pages)
{
    struct webhook_array list;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &webhook_array_schema, &list);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(LIST_ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_raw(&writer, name, list.items);
    if (has_pages) {
        json_view_or_null(&writer, "nextCursor", list.next_cursor);
    }
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    respond_list(arg, body, err, "webhooks", false);
}

void hooks_list(struct request *request)
{
    struct webhook_list message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    ask(request, WEBHOOK_LIST, &webhook_list_schema, &message, on_listed);
}

/* False: the path names no webhook, and the request has failed. */
static bool check_id(struct request *request)
{
    struct err err = {0};
    if (request->id[0] != '\0') {
        return true;
    }
    err_set_reason(&err, ERR_NOT_FOUND, "webhook_not_found", "There is no such webhook.");
    request_fail(request, &err);
    return false;
}

static struct webhook_name name_of(const struct request *request)
{
    struct webhook_name name = {0};
    memcpy(name.id, request->id, ID_SIZE);
    memcpy(name.user_id, request->caller.user_id, ID_SIZE);
    return name;
}

void hooks_remove(struct request *request)
{
    if (check_id(request)) {
        const struct webhook_name message = name_of(request);
        ask(request, WEBHOOK_REMOVE, &webhook_name_schema, &message, service_on_done);
    }
}

static void on_redelivered(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct webhook_redelivered answer;
    char text[64];
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &webhook_redelivered_schema, &answer);
    if (doc == NULL) {
        return;
    }
    (void)snprintf(text, sizeof text, "{\"success\":true,\"queued\":%" PRId64 "}", answer.queued);
    const struct http_response response = {.status = 200, .body = view_of(text)};
    request_respond(request, &response);
}

void hooks_redeliver(struct request *request)
{
    if (check_id(request)) {
        const struct webhook_name message = name_of(request);
        ask(request, WEBHOOK_REDELIVER, &webhook_name_schema, &message, on_redelivered);
    }
}

static void on_dead_letters(const struct view *body, const struct err *err, void *arg)
{
    respond_list(arg, body, err, "deadLetters", true);
}

void hooks_dead_letters(struct request *request)
{
    struct err err = {0};
    struct webhook_dead_letters message = {0};
    char cursor[PARAMETER_CURSOR_SIZE];
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    if (!check_id(request)) {
        return;
    }
    message.limit = parameter_int(&parameters, "limit", 1, DEAD_LETTERS_MAX, DEAD_DEFAULT);
    if (!parameters_check(&parameters, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    if (!parameter_cursor(&parameters, cursor, &err)) {
        request_fail(request, &err);
        return;
    }
    message.cursor = view_of(cursor);
    memcpy(message.id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    ask(request, WEBHOOK_DEAD_LETTERS, &webhook_dead_letters_schema, &message, on_dead_letters);
}
