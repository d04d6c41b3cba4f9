#include "gateway/native/service.h"

#include "common/json/write.h"

enum {
    MESSAGE_MAX = IPC_MESSAGE_MAX / 2,
    LIST_ANSWER_MAX = IPC_MESSAGE_MAX + 64, /* with its name */
};

bool service_begin(struct request *request, const struct service_question *question,
                   ipc_reply_fn *on_reply, struct err *err)
{
    AUTO(str_free) struct str body = STR_SECRET(MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, question->schema, question->message);
    json_end_object(&writer);
    const struct ipc_call_options options = {.method = question->method,
                                             .trace = &request->trace,
                                             .actor = request_actor(request),
                                             .timeout_ms = question->timeout_ms,
                                             .repeatable = question->repeatable};
    if (str_check(&body, question->method, err)) {
        request->ipc_call =
            ipc_call_begin(question->service, &options, str_view(&body), on_reply, request, err);
    }
    return request->ipc_call != NULL;
}

void service_ask(struct request *request, const struct service_question *question,
                 ipc_reply_fn *on_reply)
{
    struct err err = {0};
    if (!service_begin(request, question, on_reply, &err)) {
        request_fail(request, &err);
    }
}

bool service_answered(struct request *request, const struct err *err)
{
    request->ipc_call = NULL;
    if (err != NULL) {
        request_fail(request, err);
        return false;
    }
    return true;
}

struct json_doc *service_read_answer(struct request *request, const struct view *body,
                                     const struct err *err, const struct json_schema *schema,
                                     void *out)
{
    struct err failure = {0};
    if (!service_answered(request, err)) {
        return NULL;
    }
    struct json_doc *doc = json_read(*body, schema, out, NULL, &failure);
    if (doc == NULL) {
        failure = (struct err){0};
        err_set(&failure, ERR_INTERNAL, "a service answered nonsense");
        request_fail(request, &failure);
    }
    return doc;
}

void service_on_done(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    if (service_answered(request, err)) {
        const struct http_response response = {.status = 200, .body = VIEW("{\"success\":true}")};
        request_respond(request, &response);
    }
}

void service_respond_list(struct request *request, const char *name, struct view list)
{
    AUTO(str_free) struct str out = STR_INIT(LIST_ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_raw(&writer, name, list);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}
