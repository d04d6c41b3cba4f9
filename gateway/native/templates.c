/* Templates: what sandboxes begin from. The sandbox-service keeps and makes them. */
#include "common/contracts/templates.h"

#include "common/contracts/quota.h"
#include "common/json/write.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    IMAGE_NAME_MAX = 512,
};

struct template_body {
    struct view name;
    struct view image;
    struct view dockerfile;
    struct view snapshot;
    double cpu; /* as of create; settings say it in thousandths */
    bool has_cpu;
    bool context;
};

static const struct json_field body_fields[] = {
    JSON_STRING(struct template_body, name, "name", .required = true, .check = template_name_check),
    JSON_STRING(struct template_body, image, "image", .max_len = IMAGE_NAME_MAX, .nullable = true),
    JSON_STRING(struct template_body, dockerfile, "dockerfile", .max_len = TEMPLATE_REFERENCE_MAX,
                .nullable = true),
    JSON_STRING(struct template_body, snapshot, "snapshot", .max_len = TEMPLATE_NAME_MAX,
                .nullable = true),
    JSON_NUMBER(struct template_body, cpu, "cpu", .nullable = true,
                JSON_PRESENT(struct template_body, has_cpu)),
    JSON_BOOL(struct template_body, context, "context", .nullable = true),
};

static void add_violations(struct json_violations *to, const struct json_violations *from)
{
    for (size_t i = 0; i < from->count && to->count < JSON_VIOLATIONS_MAX; i++) {
        to->items[to->count++] = from->items[i];
    }
}

static void respond_shown(struct request *request, int status, struct view shown)
{
    const struct http_response response = {.status = status, .body = shown};
    request_respond(request, &response);
}

static void on_created(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct template_shown answer;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &template_shown_schema, &answer);
    if (doc != NULL) {
        respond_shown(request, 201, answer.shown);
    }
}

/* Exactly one source, and what no single member shows. */
static bool check_body(const struct template_body *body, const struct template_settings *settings,
                       struct err *err)
{
    int sources = (body->image.len > 0) + (body->dockerfile.len > 0) + (body->snapshot.len > 0);
    if (sources != 1) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "exactly one of image, dockerfile and snapshot is required");
    }
    if (body->snapshot.len > 0 && (settings->profile.len > 0 || settings->read_only_root)) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "profile and readOnlyRoot are the snapshot's");
    }
    if (body->context && body->dockerfile.len == 0) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "context is for a dockerfile alone");
    }
    return template_settings_check(settings, err);
}

static bool take_cpu(const struct template_body *body, struct template_settings *settings,
                     struct err *err)
{
    if (!body->has_cpu) {
        return true;
    }
    if (settings->has_cpu_milli) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "either cpu or cpuMilli, not both");
    }
    settings->has_cpu_milli = true;
    return cpu_read(body->cpu, &settings->cpu_milli) ||
           err_set_reason(err, ERR_INVALID, "validation_failed", "cpu must be from 0.01 to 1024");
}

static void ask_create(struct request *request, const struct template_body *body,
                       const struct template_settings *settings)
{
    struct err err = {0};
    AUTO(str_free) struct str text = STR_INIT(TEMPLATE_SETTINGS_MAX);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &template_settings_schema, settings);
    json_end_object(&writer);
    bool is_build = body->dockerfile.len > 0;
    bool is_copy = body->snapshot.len > 0;
    struct template_create message = {
        .name = body->name,
        .source = is_build  ? VIEW(TEMPLATE_FROM_DOCKERFILE)
                  : is_copy ? VIEW(TEMPLATE_FROM_COPY)
                            : VIEW(TEMPLATE_FROM_IMAGE),
        .reference = is_build  ? body->dockerfile
                     : is_copy ? body->snapshot
                               : body->image,
        .waits = body->context,
        .settings = str_view(&text),
    };
    if (!str_check(&text, "the template", &err) || !repeat_choose_id(request, request->id, &err)) {
        request_fail(request, &err);
        return;
    }
    memcpy(message.template_id, request->id, ID_SIZE);
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

void templates_create_handle(struct request *request)
{
    struct err err = {0};
    struct err settings_err = {0};
    struct template_body body;
    struct template_settings settings;
    struct json_violations violations = {0};
    struct json_violations more = {0};
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    struct json_schema settings_schema = template_settings_schema;
    settings_schema.refuse_unknown = false;
    struct view text = request->body.len == 0 ? VIEW("{}") : request->body;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &body, &violations, &err);
    AUTO(json_doc_release)
    struct json_doc *settings_doc =
        json_read(text, &settings_schema, &settings, &more, &settings_err);
    if (doc == NULL || settings_doc == NULL) {
        /* What is no JSON at all is told once. */
        if (doc != NULL || violations.count > 0) {
            add_violations(&violations, &more);
        }
        request_fail_validation(request, doc == NULL ? &err : &settings_err, &violations);
    } else if (!check_body(&body, &settings, &err) || !take_cpu(&body, &settings, &err)) {
        request_fail(request, &err);
    } else {
        ask_create(request, &body, &settings);
    }
}

/* Of one by its name or id, as the path has it. */
static void ask_named(struct request *request, const char *method, bool repeatable,
                      ipc_reply_fn *on_reply)
{
    struct template_named message = {.template_name = request->item};
    struct err err = {0};
    if (request->item.len > TEMPLATE_NAME_MAX) {
        err_set_reason(&err, ERR_NOT_FOUND, "template_not_found", "there is no such template");
        request_fail(request, &err);
        return;
    }
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = method,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = repeatable,
        .schema = &template_named_schema,
        .message = &message,
    };
    service_ask(request, &question, on_reply);
}

static void on_shown(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct template_shown answer;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &template_shown_schema, &answer);
    if (doc != NULL) {
        respond_shown(request, 200, answer.shown);
    }
}

void templates_show_handle(struct request *request)
{
    ask_named(request, TEMPLATE_GET, true, on_shown);
}

static void on_removed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    if (service_answered(request, err)) {
        respond_shown(request, 200, VIEW("{\"success\":true,\"message\":\"Template deleted\"}"));
    }
}

/* Not repeatable: behind one that went well there is no such template. */
void templates_remove_handle(struct request *request)
{
    ask_named(request, TEMPLATE_DELETE, false, on_removed);
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct template_page page;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &template_page_schema, &page);
    if (doc != NULL) {
        service_respond_list(request, "templates", page.templates);
    }
}

void templates_list_handle(struct request *request)
{
    struct template_list message = {0};
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
