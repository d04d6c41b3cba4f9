/* The sandbox as a resource: its state, the caller's list, its end. */
#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/native/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    STATUS_MAX = 4096,
    LIST_ANSWER_MAX = 4 * 1024 * 1024,
    LIST_LIMIT_DEFAULT = 50,
    CURSOR_MAX = 256,
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
    request->ipc_call = NULL;
    if (err != NULL) {
        request_fail(request, err);
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
    struct err err = {0};
    char body[2 * ID_SIZE + 40];
    int length = snprintf(body, sizeof body, "{\"sandboxId\":\"%s\",\"userId\":\"%s\"}",
                          request->id, request->caller.user_id);
    const struct ipc_call_options options = {.method = SANDBOX_DESTROY,
                                             .request_id = request_id(request),
                                             .timeout_ms = CALL_TIMEOUT_MS,
                                             .repeatable = true};
    request->ipc_call =
        ipc_call_begin(request->gateway->sandbox_service, &options,
                       (struct view){body, (size_t)length}, on_destroyed, request, &err);
    if (request->ipc_call == NULL) {
        request_fail(request, &err);
    }
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct sandbox_page page;
    request->ipc_call = NULL;
    AUTO(json_doc_release)
    struct json_doc *doc =
        err != NULL ? NULL : json_read(*body, &sandbox_page_schema, &page, NULL, &failure);
    if (doc == NULL) {
        request_fail(request, err != NULL ? err : &failure);
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

/* Absent: empty. A cursor of ours always fits. */
static bool read_cursor(struct view query, char out[CURSOR_MAX], struct err *err)
{
    if (query.len == 0 || memmem(query.ptr, query.len, "cursor=", 7) == NULL ||
        http_query_find(query, "cursor", out, CURSOR_MAX)) {
        return true;
    }
    return err_set_reason(err, ERR_INVALID, "invalid_cursor", "The cursor is not one of ours.");
}

/* limit=1..100; absent: the default. */
static bool read_limit(struct view query, int64_t *limit, struct json_violations *violations)
{
    char text[8] = "";
    *limit = LIST_LIMIT_DEFAULT;
    if (query.len == 0 || memmem(query.ptr, query.len, "limit=", 6) == NULL) {
        return true;
    }
    char *end = text;
    if (http_query_find(query, "limit", text, sizeof text) && text[0] >= '0' && text[0] <= '9') {
        *limit = strtol(text, &end, 10);
    }
    if (end != text && *end == '\0' && *limit >= 1 && *limit <= SANDBOX_LIST_MAX) {
        return true;
    }
    struct json_violation *violation = &violations->items[violations->count++];
    (void)snprintf(violation->path, sizeof violation->path, "limit");
    (void)snprintf(violation->message, sizeof violation->message,
                   "must be a whole number from 1 to %d", SANDBOX_LIST_MAX);
    return false;
}

void sandbox_list_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct sandbox_list message = {0};
    char cursor[CURSOR_MAX] = "";
    struct view query = http_exchange_head(request->exchange)->query;
    if (!read_limit(query, &message.limit, &violations)) {
        err_set_reason(&err, ERR_INVALID, "validation_failed", "limit is out of range");
        request_fail_validation(request, &err, &violations);
        return;
    }
    if (!read_cursor(query, cursor, &err)) {
        request_fail(request, &err);
        return;
    }
    message.cursor = view_of(cursor);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    AUTO(str_free) struct str body = STR_INIT(STATUS_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &sandbox_list_schema, &message);
    json_end_object(&writer);
    const struct ipc_call_options options = {.method = SANDBOX_LIST,
                                             .request_id = request_id(request),
                                             .timeout_ms = CALL_TIMEOUT_MS,
                                             .repeatable = true};
    if (str_check(&body, "sandbox.list", &err)) {
        request->ipc_call = ipc_call_begin(request->gateway->sandbox_service, &options,
                                           str_view(&body), on_listed, request, &err);
    }
    if (request->ipc_call == NULL) {
        request_fail(request, &err);
    }
}
