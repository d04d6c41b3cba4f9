/* POST .../sandbox/{id}/files?path=: a form with many files, each below that folder. One after the
 * other goes into an upload of its own; those that fail do not keep the others from it. */
#include "common/json/write.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/body_relay.h"
#include "gateway/native/errors.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/multipart.h"
#include "gateway/native/routes.h"

enum {
    FORM_FILES_MAX = 1000,
    PIECE_MAX = 4 * 1024 * 1024, /* more than one piece of a body ever is */
    RESULTS_MAX = 16 * 1024 * 1024,
    PATH_MAX_BYTES = 2 * PATH_SIZE,
};

struct form {
    struct request *request;   /* which this is the work of */
    struct hub_stream *stream; /* owned; of the current part; NULL: its bytes are dropped */
    struct multipart parser;
    struct file_name folder;
    struct str path;    /* of the current part */
    struct str piece;   /* of the body */
    struct view input;  /* what the parser has not seen of it */
    struct view data;   /* of the current part, to be sent */
    struct str results; /* items of the answer's list */
    size_t files;
    size_t failed;
    bool waits; /* the part is whole, and its answer is still to come */
    bool is_paused;
    bool body_ended;
};

static void end_form(void *work)
{
    struct form *form = work;
    hub_stream_close(form->stream);
    form->stream = NULL;
    multipart_close(&form->parser);
    str_free(&form->path);
    str_free(&form->piece);
    str_free(&form->results);
}

static struct json_writer begin_result(struct form *form)
{
    if (form->results.len > 0) {
        str_append_char(&form->results, ',');
    }
    struct json_writer writer = json_writer_on(&form->results);
    json_begin_object(&writer, NULL);
    return writer;
}

static void add_failure(struct form *form, const struct err *err)
{
    struct json_writer writer = begin_result(form);
    json_string(&writer, "path", str_view(&form->path));
    json_string(&writer, "error", view_of(errors_sentence(err)));
    json_string(&writer, "code", view_of(errors_code(err)));
    json_end_object(&writer);
    form->failed++;
}

struct upload_answer {
    struct view path;
    int64_t size;
};

static const struct json_field answer_fields[] = {
    JSON_STRING(struct upload_answer, path, "path", .required = true),
    JSON_INT(struct upload_answer, size, "size", .required = true, .min = 0, .max = -1),
};

static void add_success(struct form *form, struct view text)
{
    struct err err = {0};
    struct upload_answer answer;
    const struct json_schema schema = JSON_SCHEMA(answer_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &answer, NULL, &err);
    if (doc == NULL) {
        err_set(&err, ERR_INTERNAL, "the agent answered an upload with nonsense");
        add_failure(form, &err);
        return;
    }
    struct json_writer writer = begin_result(form);
    json_string(&writer, "path", answer.path);
    json_int(&writer, "size", answer.size);
    json_end_object(&writer);
}

static void pump(struct form *form);

/* The stream is gone, and with it what is left of the part. */
static void fail_part(struct form *form, const struct err *err)
{
    form->stream = NULL;
    form->waits = false;
    add_failure(form, err);
    pump(form);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct form *form = arg;
    struct err failure = {0};
    if (err != NULL) {
        form->stream = NULL; /* the agent is lost: so are the files behind this one */
        request_fail(form->request, err);
    } else if (view_equal(reply->type, VIEW("error"))) {
        agent_error_read(reply->text, &failure);
        fail_part(form, &failure);
    } else {
        hub_stream_close(form->stream);
        form->stream = NULL;
        form->waits = false;
        add_success(form, reply->text);
        pump(form);
    }
}

static void on_window(uint32_t bytes, void *arg)
{
    (void)bytes;
    pump(arg);
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct form *form = arg;
    struct err failure = {0};
    form->stream = NULL;
    if (err != NULL) {
        request_fail(form->request, err);
        return;
    }
    agent_error_of_code(code == NULL ? "" : code, &failure);
    fail_part(form, &failure);
}

static const struct hub_stream_events events = {
    .on_reply = on_reply, .on_window = on_window, .on_closed = on_closed};

/* A name is a relative path that stays below the folder. */
static bool is_below(struct view name)
{
    bool is_sound = name.len > 0 && name.ptr[0] != '/' && name.ptr[name.len - 1] != '/';
    while (is_sound && name.len > 0) {
        is_sound = !view_equal(view_cut(&name, '/'), VIEW(".."));
    }
    return is_sound;
}

static bool make_path(struct form *form, struct err *err)
{
    const struct multipart *parser = &form->parser;
    struct view name = str_view(parser->has_filename ? &parser->filename : &parser->name);
    struct view folder = view_of(form->folder.path);
    str_clear(&form->path);
    if (!is_below(name) || folder.len + 1 + name.len > PATH_BYTES_MAX) {
        str_append_view(&form->path, name);
        return err_set_reason(err, ERR_INVALID, "invalid_path",
                              "A file's name must be a path below the folder, and not too long.");
    }
    str_append_view(&form->path, folder);
    if (folder.len > 0 && folder.ptr[folder.len - 1] != '/') {
        str_append_char(&form->path, '/');
    }
    str_append_view(&form->path, name);
    return str_check(&form->path, "path", err);
}

static bool open_upload(struct form *form, struct err *err)
{
    struct hub_message parts;
    struct request *request = form->request;
    AUTO(str_free) struct str message = STR_INIT(AGENT_ASK_MAX);
    struct json_writer writer = json_writer_on(&message);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("upload"));
    json_string(&writer, "path", str_view(&form->path));
    if (form->folder.user[0] != '\0') {
        json_string(&writer, "user", view_of(form->folder.user));
    }
    json_end_object(&writer);
    if (agent_message(&message, &parts, err)) {
        form->stream =
            hub_stream_open(request->gateway->hub, request->id, &parts, 0, &events, form, err);
    }
    return form->stream != NULL;
}

/* False when the request is over. */
static bool begin_part(struct form *form)
{
    struct err err = {0};
    if (++form->files > FORM_FILES_MAX) {
        err_set_reason(&err, ERR_INVALID, "too_many_files", "A form may have at most %d files.",
                       FORM_FILES_MAX);
        request_fail(form->request, &err);
        return false;
    }
    if (!make_path(form, &err) || !open_upload(form, &err)) {
        if (err.code >= ERR_UNAVAILABLE) {
            request_fail(form->request, &err);
            return false;
        }
        add_failure(form, &err);
    }
    return true;
}

static void end_part(struct form *form)
{
    if (form->stream != NULL) {
        hub_stream_send_fin(form->stream);
        form->waits = true;
    }
}

/* Sends the part's bytes. False: the agent takes no more of them for now. */
static bool send_data(struct form *form)
{
    if (form->stream == NULL) {
        form->data = (struct view){0};
        return true;
    }
    size_t credit = hub_stream_credit(form->stream);
    size_t len = form->data.len < credit ? form->data.len : credit;
    if (len > 0 && hub_stream_send(form->stream, (struct view){form->data.ptr, len})) {
        form->data = view_from(form->data, len);
    }
    return form->data.len == 0;
}

static void respond_broken(struct form *form)
{
    struct err err = {0};
    err_set_reason(&err, ERR_INVALID, "malformed_form",
                   "The body is not a whole multipart/form-data with its boundary.");
    request_fail(form->request, &err);
}

static void respond(struct form *form)
{
    AUTO(str_free) struct str out = STR_INIT(RESULTS_MAX + 64);
    struct err err = {0};
    if (!str_check(&form->results, "form", &err)) {
        request_fail(form->request, &err);
        return;
    }
    str_append_view(&out, VIEW("{\"files\":["));
    str_append_view(&out, str_view(&form->results));
    str_appendf(&out, "],\"failed\":%zu}", form->failed);
    request_respond_json(form->request, 200, &out);
}

/* All input of this piece is used up. */
static void finish_piece(struct form *form)
{
    if (form->body_ended) {
        if (multipart_is_complete(&form->parser)) {
            respond(form);
        } else {
            respond_broken(form);
        }
        return;
    }
    str_clear(&form->piece);
    form->input = (struct view){0};
    if (form->is_paused) {
        form->is_paused = false;
        http_body_resume(form->request->exchange);
    }
}

/* Goes on until the body's piece is used up, or the agent must be waited for. */
static void pump(struct form *form)
{
    while (!form->waits) {
        if (!send_data(form)) {
            return;
        }
        switch (multipart_next(&form->parser, &form->input, &form->data)) {
        case MULTIPART_MORE:
            finish_piece(form);
            return;
        case MULTIPART_PART:
            if (!begin_part(form)) {
                return;
            }
            break;
        case MULTIPART_PART_END:
            end_part(form);
            break;
        case MULTIPART_BROKEN:
            respond_broken(form);
            return;
        case MULTIPART_DATA:
        case MULTIPART_END:
            break;
        }
    }
}

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    struct form *form = arg;
    struct err err = {0};
    str_append_view(&form->piece, bytes);
    if (!str_check(&form->piece, "form", &err)) {
        request_fail(form->request, &err);
        return;
    }
    form->input = str_view(&form->piece);
    pump(form);
    if (!request_is_over(form->request) && form->piece.len > 0) {
        form->is_paused = true;
        http_body_pause(exchange);
    }
}

static void on_end(struct http_exchange *exchange, void *arg)
{
    (void)exchange;
    struct form *form = arg;
    form->body_ended = true;
    pump(form);
}

static const struct http_body_events body_events = {.on_piece = on_piece, .on_end = on_end};

static bool open_form(struct form *form, const struct parameters *parameters, struct err *err)
{
    struct view type = http_exchange_header(form->request->exchange, "Content-Type");
    return parameters_check(parameters, err) && agent_is_there(form->request, err) &&
           multipart_open(&form->parser, type, err);
}

void files_post_handle(struct request *request)
{
    struct err err = {0};
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    struct form *form = calloc(1, sizeof *form);
    if (form == NULL) {
        err_set(&err, ERR_INTERNAL, "form: out of memory");
        request_fail(request, &err);
        return;
    }
    form->request = request;
    form->path = STR_INIT(PATH_MAX_BYTES);
    form->piece = STR_INIT(PIECE_MAX);
    form->results = STR_INIT(RESULTS_MAX);
    request_set_work(request, form, end_form);
    parameter_text(&parameters, "path", PARAMETER_OPTIONAL, form->folder.path,
                   sizeof form->folder.path);
    parameter_text(&parameters, "user", PARAMETER_OPTIONAL, form->folder.user,
                   sizeof form->folder.user);
    request_add_detail(request, "op", VIEW("form"));
    request_add_detail(request, "path", view_of(form->folder.path));
    if (open_form(form, &parameters, &err)) {
        http_stream_body(request->exchange, STREAMED_BODY_MAX, &body_events, form);
    } else {
        request_fail_validation(request, &err, &parameters.violations);
    }
}
