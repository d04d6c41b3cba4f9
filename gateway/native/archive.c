/* .../sandbox/{id}/archive?path=: a folder out as one archive, and in. */
#include "gateway/native/archive.h"

#include "common/json/write.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/media_types.h"
#include "gateway/native/routes.h"
#include "gateway/native/tool.h"

#include <stdio.h>

enum {
    WORDS_MAX = 16 * 1024, /* what the tool says of itself; more is dropped */
    DISPOSITION_MAX = 1024,
};

/* A tool that is left alone must see that no more comes. */
static void leave(struct archive *archive)
{
    if (archive->stream != NULL && !archive->packs) {
        hub_stream_send_fin(archive->stream);
    }
    body_relay_stop(&archive->relay);
    hub_stream_close(archive->stream);
    archive->stream = NULL;
}

static void end_archive(void *work)
{
    struct archive *archive = work;
    leave(archive);
    body_relay_close(&archive->relay);
    own_sandbox_end(&archive->own);
    str_free(&archive->words);
    str_free(&archive->errors);
}

static bool is_gzip(const struct archive *archive)
{
    return strcmp(archive->format, "tar.gz") == 0;
}

static void on_drained(void *arg)
{
    struct request *request = arg;
    struct archive *archive = request->work;
    stream_pull_resume(&archive->pull, archive->stream);
}

/* "folder.tar.gz"; of a path that names none: "archive". */
static void write_disposition(const struct archive *archive, struct str *out)
{
    char name[PATH_SIZE + sizeof ".tar.gz"];
    struct view path = view_of(archive->name.path);
    while (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    bool is_named = path.len > 0 && path.ptr[path.len - 1] != '.' && path.ptr[path.len - 1] != '~';
    path = is_named ? path : VIEW("archive");
    (void)snprintf(name, sizeof name, "%.*s%s", (int)path.len, path.ptr,
                   is_gzip(archive) ? ".tar.gz" : ".tar");
    media_disposition(view_of(name), out);
}

/* False: its head was all that was asked for. */
static bool begin_answer(struct archive *archive)
{
    AUTO(str_free) struct str disposition = STR_INIT(DISPOSITION_MAX);
    write_disposition(archive, &disposition);
    const struct http_header header = {VIEW("Content-Disposition"), disposition.failed
                                                                        ? VIEW("attachment")
                                                                        : str_view(&disposition)};
    const struct http_response response = {
        .status = 200,
        .content_type = is_gzip(archive) ? "application/gzip" : "application/x-tar",
        .headers = &header,
        .header_count = 1,
    };
    archive->is_begun = true;
    struct request *request = archive->request;
    request_begin_answer(request, &response, HTTP_LENGTH_UNKNOWN, on_drained);
    return http_exchange_head(request->exchange)->method != HTTP_HEAD;
}

struct unpacked {
    int64_t entries;
    int64_t bytes;
};

static const struct json_field unpacked_fields[] = {
    JSON_INT(struct unpacked, entries, "entries", .required = true, .min = 0, .max = -1),
    JSON_INT(struct unpacked, bytes, "bytes", .required = true, .min = 0, .max = -1),
};

static void answer_unpacked(const struct archive *archive)
{
    struct err err = {0};
    struct unpacked unpacked;
    struct request *request = archive->request;
    const struct json_schema schema = JSON_SCHEMA(unpacked_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(str_view(&archive->words), &schema, &unpacked, NULL, &err);
    if (doc == NULL) {
        err_set(&err, ERR_INTERNAL, "the tool answered nonsense");
        request_fail(request, &err);
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(WORDS_MAX + 6 * PATH_SIZE);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    if (archive->volume.len > 0) {
        json_string(&writer, "name", archive->volume);
    } else {
        json_string(&writer, "path", view_of(archive->name.path));
    }
    json_int(&writer, "entries", unpacked.entries);
    json_int(&writer, "bytes", unpacked.bytes);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

static void deliver(struct archive *archive)
{
    struct request *request = archive->request;
    bool failed = archive->err.code != ERR_NONE;
    if (failed && archive->is_begun) {
        request_abort_answer(request);
    } else if (failed) {
        request_fail(request, &archive->err);
    } else if (!archive->packs) {
        answer_unpacked(archive);
    } else {
        if (!archive->is_begun) {
            (void)begin_answer(archive);
        }
        request_end_answer(request);
    }
}

static void on_own_gone(const struct err *err, void *arg)
{
    (void)err; /* it ends by itself */
    deliver(arg);
}

static void settle(struct archive *archive)
{
    archive->is_running = false;
    leave(archive);
    if (!archive->own.is_there || !own_sandbox_close(&archive->own, on_own_gone, archive)) {
        deliver(archive);
    }
}

void archive_fail(struct archive *archive, const struct err *err)
{
    archive->err = *err;
    settle(archive);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct archive *archive = arg;
    struct err failure = {0};
    if (err == NULL && !view_equal(reply->type, VIEW("error"))) {
        archive->is_running = true;
        return;
    }
    archive->stream = NULL;
    if (err == NULL) {
        agent_error_read(reply->text, &failure);
    }
    archive_fail(archive, err == NULL ? &failure : err);
}

static void keep_words(struct archive *archive, struct str *words, struct view bytes)
{
    size_t room = WORDS_MAX - words->len;
    str_append(words, bytes.ptr, bytes.len < room ? bytes.len : room);
    hub_stream_grant(archive->stream, (uint32_t)bytes.len);
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    struct archive *archive = arg;
    if (!archive->is_running) {
        return;
    }
    if (kind == STREAM_STDERR) {
        keep_words(archive, &archive->errors, bytes);
    } else if (!archive->packs) {
        keep_words(archive, &archive->words, bytes);
    } else {
        if (!archive->is_begun && !begin_answer(archive)) {
            settle(archive);
            return;
        }
        bool has_room = request_send(archive->request, bytes);
        stream_pull_took(&archive->pull, archive->stream, bytes.len, has_room);
    }
}

static void on_window(uint32_t bytes, void *arg)
{
    (void)bytes;
    struct archive *archive = arg;
    body_relay_go_on(&archive->relay);
}

struct ending {
    int64_t exit_code;
    bool has_exit_code;
    struct view reason;
};

static const struct json_field ending_fields[] = {
    JSON_INT(struct ending, exit_code, "exitCode", JSON_PRESENT(struct ending, has_exit_code),
             .nullable = true),
    JSON_STRING(struct ending, reason, "reason", .nullable = true),
};

/* Whether the tool did it; else what went wrong. */
static bool read_ending(const struct archive *archive, struct view text, struct err *err)
{
    struct ending ending;
    struct err ignored = {0};
    const struct json_schema schema = JSON_SCHEMA(ending_fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(text, &schema, &ending, NULL, &ignored);
    if (doc != NULL && ending.has_exit_code && ending.exit_code == 0) {
        return true;
    }
    if (doc != NULL && view_equal(ending.reason, VIEW("oom"))) {
        return err_set_reason(err, ERR_CONFLICT, "out_of_memory",
                              "The sandbox has too little memory for this.");
    }
    if (doc != NULL && view_equal(ending.reason, VIEW("timeout"))) {
        return err_set_reason(err, ERR_TIMEOUT, "timeout", "the tool took too long");
    }
    tool_error_read(str_view(&archive->errors), err);
    return false;
}

static void on_text(const struct hub_stream_text *said, void *arg)
{
    struct archive *archive = arg;
    struct err err = {0};
    if (view_equal(said->type, VIEW("gap"))) {
        err_set(&err, ERR_INTERNAL, "bytes of an archive were lost");
    } else if (!view_equal(said->type, VIEW("exit"))) {
        return;
    }
    if (err.code == ERR_NONE && read_ending(archive, said->text, &err)) {
        settle(archive);
    } else {
        archive_fail(archive, &err);
    }
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct archive *archive = arg;
    struct err failure = {0};
    archive->stream = NULL;
    agent_error_of_code(code == NULL ? "" : code, &failure);
    archive_fail(archive, err != NULL ? err : &failure);
}

static const struct hub_stream_events events = {.on_reply = on_reply,
                                                .on_bytes = on_bytes,
                                                .on_window = on_window,
                                                .on_text = on_text,
                                                .on_closed = on_closed};

void archive_begin(struct archive *archive)
{
    struct request *request = archive->request;
    struct hub_message message;
    struct err err = {0};
    const struct tool_run run = {
        .verb = archive->packs ? "pack" : "unpack",
        .name = &archive->name,
        .argument = view_of(archive->format),
        .is_streamed = true,
        .takes_stdin = !archive->packs,
        .timeout_ms = TOOL_TIMEOUT_MS,
    };
    const char *sandbox_id = archive->own.request == NULL ? request->id : archive->own.id;
    AUTO(str_free) struct str text = STR_INIT(AGENT_ASK_MAX);
    tool_write(&run, &text);
    if (agent_message(&text, &message, &err)) {
        archive->stream =
            hub_stream_open(request->gateway->hub, sandbox_id, &message, 0, &events, archive, &err);
    }
    if (archive->stream == NULL) {
        archive_fail(archive, &err);
    } else if (!archive->packs) {
        body_relay_begin(&archive->relay, request->exchange, archive->stream);
    }
}

struct archive *archive_new(struct request *request, struct parameters *parameters, bool packs)
{
    static const char *const packed[] = {"tar.gz", "tar", NULL};
    static const char *const unpacked[] = {"auto", "tar", "tar.gz", NULL};
    const char *const *formats = packs ? packed : unpacked;
    struct err err = {0};
    struct archive *archive = calloc(1, sizeof *archive);
    if (archive == NULL) {
        err_set(&err, ERR_INTERNAL, "archive: out of memory");
        request_fail(request, &err);
        return NULL;
    }
    archive->request = request;
    archive->packs = packs;
    archive->words = STR_INIT(WORDS_MAX);
    archive->errors = STR_INIT(WORDS_MAX);
    request_set_work(request, archive, end_archive);
    *parameters = (struct parameters){.query = http_exchange_head(request->exchange)->query};
    archive->format = formats[parameter_word(parameters, "format", formats)];
    return archive;
}

static void begin_in_sandbox(struct archive *archive, struct parameters *parameters)
{
    struct err err = {0};
    if (!parameters_check(parameters, &err) || !agent_is_there(archive->request, &err)) {
        request_fail_validation(archive->request, &err, &parameters->violations);
    } else {
        archive_begin(archive);
    }
}

void archive_get_handle(struct request *request)
{
    struct parameters parameters;
    struct archive *archive = archive_new(request, &parameters, true);
    if (archive != NULL) {
        file_name_read(&parameters, &archive->name);
        begin_in_sandbox(archive, &parameters);
    }
}

void archive_put_handle(struct request *request)
{
    struct parameters parameters;
    struct archive *archive = archive_new(request, &parameters, false);
    if (archive != NULL) {
        file_name_read(&parameters, &archive->name);
        request_add_detail(request, "op", VIEW("unpack"));
        request_add_detail(request, "path", view_of(archive->name.path));
        begin_in_sandbox(archive, &parameters);
    }
}
