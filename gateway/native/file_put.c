/* PUT .../files?path=: the body becomes a file, which is there whole or not at all. */
#include "common/json/write.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/body_relay.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/routes.h"

struct upload {
    struct request *request;   /* which this is the work of */
    struct hub_stream *stream; /* owned */
    struct body_relay relay;
};

struct upload_answer {
    struct view path;
    int64_t size;
    bool created;
};

static const struct json_field answer_fields[] = {
    JSON_STRING(struct upload_answer, path, "path", .required = true),
    JSON_INT(struct upload_answer, size, "size", .required = true),
    JSON_BOOL(struct upload_answer, created, "created"),
};

static void end_upload(void *work)
{
    struct upload *upload = work;
    body_relay_close(&upload->relay);
    hub_stream_close(upload->stream);
    upload->stream = NULL;
}

static void answer(struct request *request, struct view text)
{
    struct err err = {0};
    struct upload_answer done;
    const struct json_schema schema = JSON_SCHEMA(answer_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &done, NULL, &err);
    AUTO(str_free) struct str out = STR_INIT(AGENT_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&out);
    if (doc == NULL) {
        err_set(&err, ERR_INTERNAL, "the agent answered an upload with nonsense");
        request_fail(request, &err);
        return;
    }
    json_begin_object(&writer, NULL);
    json_string(&writer, "path", done.path);
    json_int(&writer, "size", done.size);
    json_end_object(&writer);
    request_respond_json(request, done.created ? 201 : 200, &out);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct upload *upload = arg;
    if (err != NULL || view_equal(reply->type, VIEW("error"))) {
        upload->stream = NULL;
        body_relay_stop(&upload->relay);
    }
    if (agent_replied(upload->request, reply, err)) {
        answer(upload->request, reply->text);
    }
}

static void on_window(uint32_t bytes, void *arg)
{
    (void)bytes;
    struct upload *upload = arg;
    body_relay_go_on(&upload->relay);
}

/* An upload that went well is over with its answer. */
static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct upload *upload = arg;
    struct err failure = {0};
    upload->stream = NULL;
    body_relay_stop(&upload->relay);
    if (err == NULL) {
        agent_error_of_code(code, &failure);
    }
    request_fail(upload->request, err != NULL ? err : &failure);
}

static const struct hub_stream_events events = {
    .on_reply = on_reply, .on_window = on_window, .on_closed = on_closed};

static void write_message(const struct request *request, const struct file_put_options *options,
                          struct str *out)
{
    int64_t size = http_exchange_body_length(request->exchange);
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("upload"));
    json_string(&writer, "path", view_of(options->name.path));
    if (options->name.user[0] != '\0') {
        json_string(&writer, "user", view_of(options->name.user));
    }
    if (options->mode[0] != '\0') {
        json_string(&writer, "mode", view_of(options->mode));
    }
    if (size >= 0) {
        json_int(&writer, "size", size);
    }
    json_bool(&writer, "sync", options->sync);
    json_bool(&writer, "parents", options->parents);
    json_end_object(&writer);
}

static bool check_encoding(const struct request *request, struct err *err)
{
    struct view encoding = http_exchange_header(request->exchange, "Content-Encoding");
    return encoding.len == 0 || view_equal_nocase(encoding, VIEW("identity")) ||
           err_set_reason(err, ERR_INVALID, "unsupported_media_type",
                          "Send the body without Content-Encoding.");
}

void file_put(struct request *request, const struct file_put_options *options)
{
    struct err err = {0};
    struct hub_message message;
    AUTO(str_free) struct str text = STR_INIT(AGENT_ASK_MAX);
    struct upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL) {
        err_set(&err, ERR_INTERNAL, "upload: out of memory");
        request_fail(request, &err);
        return;
    }
    upload->request = request;
    request_set_work(request, upload, end_upload);
    write_message(request, options, &text);
    request_add_detail(request, "op", VIEW("upload"));
    request_add_detail(request, "path", view_of(options->name.path));
    if (check_encoding(request, &err) && agent_message(&text, &message, &err)) {
        upload->stream =
            hub_stream_open(request->gateway->hub, request->id, &message, 0, &events, upload, &err);
    }
    if (upload->stream == NULL) {
        request_fail(request, &err);
        return;
    }
    body_relay_begin(&upload->relay, request->exchange, upload->stream);
}
