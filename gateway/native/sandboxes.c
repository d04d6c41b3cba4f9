/* The sandbox as a resource: its state, the caller's list, its end. */
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/native/parameters.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdio.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    STATUS_MAX = 4096,
    LIST_ANSWER_MAX = 4 * 1024 * 1024,
    LIST_LIMIT_DEFAULT = 50,
};

static void write_container(struct json_writer *writer, const struct sandbox_meta *sandbox)
{
    json_begin_object(writer, "containerStatus");
    json_bool(writer, "running", sandbox->container_running);
    json_string(writer, "status", view_of(sandbox->container_status));
    json_int(writer, "exitCode", sandbox->exit_code);
    json_string(writer, "error", view_of(sandbox->container_error));
    json_end_object(writer);
}

void sandbox_status_handle(struct request *request)
{
    const struct sandbox_meta *sandbox = &request->sandbox;
    AUTO(str_free) struct str out = STR_INIT(STATUS_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "sandboxId", view_of(sandbox->id));
    json_bool(&writer, "connected",
              sandbox->is_live && hub_is_ready(request->gateway->hub, sandbox->id));
    json_string(&writer, "createdAt", view_of(sandbox->created_at));
    json_string(&writer, "status", view_of(sandbox->status));
    json_string_or_null(&writer, "expiresAt", sandbox->expires_at);
    if (sandbox->end_reason[0] != '\0') {
        json_string(&writer, "endReason", view_of(sandbox->end_reason));
        json_string_or_null(&writer, "endedAt", sandbox->ended_at);
    }
    write_container(&writer, sandbox);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

static void on_destroyed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    if (!service_answered(request, err)) {
        return;
    }
    sandbox_cache_forget(request->gateway->sandboxes, request->id);
    char answer[ID_SIZE + 40];
    (void)snprintf(answer, sizeof answer, "{\"success\":true,\"sandboxId\":\"%s\"}", request->id);
    const struct http_response response = {.status = 200, .body = view_of(answer)};
    request_respond(request, &response);
}

void sandbox_destroy_handle(struct request *request)
{
    struct sandbox_destroy message = {0};
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = SANDBOX_DESTROY,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &sandbox_destroy_schema,
        .message = &message,
    };
    service_ask(request, &question, on_destroyed);
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct sandbox_page page;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &sandbox_page_schema, &page);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(LIST_ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_raw(&writer, "sandboxes", page.sandboxes);
    json_view_or_null(&writer, "nextCursor", page.next_cursor);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

/* Of sandbox_statuses; empty: any. */
static struct view read_status(struct parameters *parameters)
{
    static const char *const words[] = {"any",      "creating", "running",   "pausing", "paused",
                                        "resuming", "stopping", "destroyed", "failed",  NULL};
    size_t word = parameter_word(parameters, "status", words);
    return word == 0 ? (struct view){0} : view_of(words[word]);
}

void sandbox_list_handle(struct request *request)
{
    struct err err = {0};
    struct sandbox_list message = {0};
    char cursor[PARAMETER_CURSOR_SIZE];
    struct view query = http_exchange_head(request->exchange)->query;
    struct parameters parameters = {.query = query};
    message.limit = parameter_int(&parameters, "limit", 1, SANDBOX_LIST_MAX, LIST_LIMIT_DEFAULT);
    message.status = read_status(&parameters);
    if (!parameters_check(&parameters, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    if (!parameter_cursor(&parameters, cursor, &err)) {
        request_fail(request, &err);
        return;
    }
    message.cursor = view_of(cursor);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = SANDBOX_LIST,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &sandbox_list_schema,
        .message = &message,
    };
    service_ask(request, &question, on_listed);
}
