#include "common/ipc/envelope.h"

#include "common/json/write.h"

#include <assert.h>

enum { WIRE_MESSAGE_MAX = 4 * ERR_MESSAGE_SIZE }; /* repaired UTF-8 takes more than it had */

struct wire_request {
    struct view method;
    struct view request_id;
    struct view traceparent;
    struct actor_wire actor;
    int64_t timeout_ms;
    struct view body;
};

static bool check_traceparent(struct view value, const char **problem)
{
    char ignored[TRACE_PARENT_SIZE];
    *problem = "must be a traceparent";
    return trace_read_parent(value, ignored);
}

static const struct json_field request_fields[] = {
    JSON_STRING(struct wire_request, method, "method", .required = true, .not_empty = true,
                .max_len = IPC_METHOD_SIZE - 1),
    JSON_STRING(struct wire_request, request_id, "requestId", .max_len = TRACE_REQUEST_ID_SIZE - 1),
    JSON_STRING(struct wire_request, traceparent, "traceparent", .check = check_traceparent),
    JSON_STRUCT(struct wire_request, actor, "actor", actor_fields),
    JSON_INT(struct wire_request, timeout_ms, "timeoutMs", .required = true),
    JSON_OBJECT(struct wire_request, body, "body", .required = true),
};

struct wire_error {
    struct view code;
    struct view reason;
    struct view message;
};
static const struct json_field error_fields[] = {
    JSON_STRING(struct wire_error, code, "code", .required = true),
    JSON_STRING(struct wire_error, reason, "reason", .required = true,
                .max_len = ERR_REASON_SIZE - 1),
    JSON_STRING(struct wire_error, message, "message", .required = true,
                .max_len = WIRE_MESSAGE_MAX),
};

struct wire_reply {
    struct view body;
    struct wire_error error;
    bool has_error;
};
static const struct json_field reply_fields[] = {
    JSON_OBJECT(struct wire_reply, body, "body"),
    JSON_STRUCT(struct wire_reply, error, "error", error_fields,
                JSON_PRESENT(struct wire_reply, has_error)),
};

bool ipc_request_write(const struct ipc_request *request, struct str *out, struct err *err)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "method", view_of(request->method));
    json_string(&writer, "requestId", view_of(request->trace.request_id));
    if (request->trace.parent[0] != '\0') {
        json_string(&writer, "traceparent", view_of(request->trace.parent));
    }
    actor_write(&writer, "actor", &request->actor);
    json_int(&writer, "timeoutMs", request->timeout_ms);
    json_raw(&writer, "body", request->body);
    json_end_object(&writer);
    return str_check(out, "ipc request", err);
}

bool ipc_reply_write(const struct ipc_reply *reply, struct str *out, struct err *err)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    if (reply->ok) {
        json_raw(&writer, "body", reply->body);
    } else {
        json_begin_object(&writer, "error");
        json_string(&writer, "code", view_of(err_code_name(reply->error.code)));
        json_string(&writer, "reason", view_of(reply->error.reason));
        json_string(&writer, "message", view_of(reply->error.message));
        json_end_object(&writer);
    }
    json_end_object(&writer);
    return str_check(out, "ipc reply", err);
}

struct json_doc *ipc_request_read(struct view message, struct ipc_request *out, struct err *err)
{
    struct wire_request wire;
    struct json_doc *doc =
        json_read(message, &JSON_SCHEMA(request_fields, .refuse_unknown = true), &wire, NULL, err);
    if (doc == NULL) {
        return NULL;
    }
    json_doc_mark_secret(doc);
    *out = (struct ipc_request){.timeout_ms = wire.timeout_ms, .body = wire.body};
    bool fits =
        view_copy(wire.method, out->method, sizeof out->method) &&
        view_copy(wire.request_id, out->trace.request_id, sizeof out->trace.request_id) &&
        (wire.traceparent.len == 0 || trace_read_parent(wire.traceparent, out->trace.parent));
    assert(fits); /* the schema bounds both and lets no NUL in */
    actor_read(&wire.actor, &out->actor);
    return doc;
}

static void read_error(const struct wire_error *wire, struct err *out)
{
    char code[ERR_REASON_SIZE];
    char reason[ERR_REASON_SIZE];
    bool known = view_copy(wire->code, code, sizeof code);
    bool fits = view_copy(wire->reason, reason, sizeof reason);
    assert(fits); /* the schema bounds it */
    err_set_reason(out, known ? err_code_from_name(code) : ERR_INTERNAL, reason, "%.*s",
                   (int)wire->message.len, wire->message.ptr);
}

struct json_doc *ipc_reply_read(struct view message, struct ipc_reply *out, struct err *err)
{
    struct wire_reply wire;
    struct json_doc *doc =
        json_read(message, &JSON_SCHEMA(reply_fields, .refuse_unknown = true), &wire, NULL, err);
    if (doc == NULL) {
        return NULL;
    }
    json_doc_mark_secret(doc);
    *out = (struct ipc_reply){.ok = !wire.has_error, .body = wire.body};
    if (out->ok == (wire.body.len == 0)) {
        json_doc_free(doc);
        err_set(err, ERR_INVALID, "an ipc reply must have either a body or an error");
        return NULL;
    }
    if (wire.has_error) {
        read_error(&wire.error, &out->error);
    }
    return doc;
}
