/* Snapshots: templates of what a sandbox has on its disk. POST /sandbox/{id}/snapshots makes one,
 * GET /api/snapshots lists them; else they are as all templates (templates.c). */
#include "common/contracts/templates.h"
#include "common/json/write.h"
#include "gateway/native/errors.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdio.h>

enum { CALL_TIMEOUT_MS = 30 * 1000, NAME_SIZE = 32 };

struct snapshot_body {
    struct view name;
    struct view description;
};
static const struct json_field body_fields[] = {
    JSON_STRING(struct snapshot_body, name, "name", .check = template_name_check),
    JSON_STRING(struct snapshot_body, description, "description",
                .max_len = TEMPLATE_DESCRIPTION_MAX),
};

static void on_created(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct template_shown answer;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &template_shown_schema, &answer);
    if (doc != NULL) {
        const struct http_response response = {.status = 201, .body = answer.shown};
        request_respond(request, &response);
    }
}

/* One that has no name gets the start of its id for one. */
static void ask_create(struct request *request, const struct snapshot_body *body)
{
    struct err err = {0};
    char name[NAME_SIZE];
    const struct template_settings settings = {.description = body->description};
    struct template_create message = {.source = VIEW(TEMPLATE_FROM_SNAPSHOT),
                                      .reference = view_of(request->id)};
    AUTO(str_free) struct str text = STR_INIT(TEMPLATE_SETTINGS_MAX);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &template_settings_schema, &settings);
    json_end_object(&writer);
    if (!str_check(&text, "the snapshot", &err) ||
        !repeat_choose_id(request, message.template_id, &err)) {
        request_fail(request, &err);
        return;
    }
    (void)snprintf(name, sizeof name, "snapshot-%.13s", message.template_id);
    message.name = body->name.len > 0 ? body->name : view_of(name);
    message.settings = str_view(&text);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = TEMPLATE_CREATE,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &template_create_schema,
        .message = &message,
    };
    service_ask(request, &question, on_created);
}

void snapshots_create_handle(struct request *request)
{
    struct err err = {0};
    struct snapshot_body body;
    struct json_violations violations = {0};
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    if (caller_is_client(&request->caller)) { /* it is of a sandbox, not of a user */
        errors_client_refused(&err);
        request_fail(request, &err);
        return;
    }
    struct view text = request->body.len == 0 ? VIEW("{}") : request->body;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &body, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
    } else {
        ask_create(request, &body);
    }
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct template_page page;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &template_page_schema, &page);
    if (doc != NULL) {
        service_respond_list(request, "snapshots", page.templates);
    }
}

void snapshots_list_handle(struct request *request)
{
    struct template_list message = {.source = VIEW(TEMPLATE_FROM_SNAPSHOT)};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = TEMPLATE_LIST,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &template_list_schema,
        .message = &message,
    };
    service_ask(request, &question, on_listed);
}
