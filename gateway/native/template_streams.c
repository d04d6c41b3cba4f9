/* What is long of a template: the folder it is built from, on its way in; what its making says, on
 * its way out. */
#include "common/contracts/templates.h"

#include "common/base/encode.h"
#include "common/json/write.h"
#include "gateway/native/event_stream.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    LOG_WAIT_MS = EVENTS_PING_MS - 1000, /* each answer is a sign of life */
    EVENT_MAX = 1024 * 1024,
    FOLDER_BODY_MAX = 512 * 1024 * 1024, /* the sandbox-service has a bound of its own */
    PIECE_BASE64_SIZE = ENCODE_BASE64_SIZE(TEMPLATE_PIECE_MAX),
};

/* False, and the request has failed, when the path has no id. */
static bool read_id(struct request *request, char out[ID_SIZE])
{
    struct err err = {0};
    if (id_parse(request->item, out)) {
        return true;
    }
    err_set_reason(&err, ERR_NOT_FOUND, "template_not_found", "there is no such template");
    request_fail(request, &err);
    return false;
}

/* The folder's archive, in pieces; nothing more is read while one is on its way. */
struct folder {
    struct request *request; /* which this is the work of */
    char template_id[ID_SIZE];
    struct str piece;
    int64_t offset; /* of piece, in the archive */
    char *base64;   /* owned; PIECE_BASE64_SIZE */
    bool is_whole;  /* the body has ended */
    bool is_sent;   /* and its last piece is on its way */
};

static void end_folder(void *work)
{
    struct folder *folder = work;
    str_free(&folder->piece);
    free(TAKE(folder->base64));
}

static void send_piece(struct folder *folder);

static void on_piece_sent(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    struct folder *folder = request->work;
    if (!service_answered(request, err)) {
        return;
    }
    if (folder->is_sent) {
        const struct http_response response = {
            .status = 200, .body = VIEW("{\"success\":true,\"message\":\"It is being built\"}")};
        request_respond(request, &response);
    } else if (folder->is_whole) {
        send_piece(folder);
    } else {
        http_body_resume(request->exchange);
    }
}

static void send_piece(struct folder *folder)
{
    struct request *request = folder->request;
    size_t len = encode_base64(ENCODE_BASE64, folder->piece.data == NULL ? "" : folder->piece.data,
                               folder->piece.len, folder->base64);
    struct template_piece message = {
        .offset = folder->offset,
        .bytes = {folder->base64, len},
        .last = folder->is_whole,
    };
    memcpy(message.template_id, folder->template_id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    folder->offset += (int64_t)folder->piece.len;
    folder->is_sent = folder->is_whole;
    str_clear(&folder->piece);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = TEMPLATE_PIECE,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &template_piece_schema,
        .message = &message,
    };
    service_ask(request, &question, on_piece_sent);
}

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    struct folder *folder = arg;
    str_append_view(&folder->piece, bytes);
    if (folder->piece.len + HTTP_PIECE_MAX > TEMPLATE_PIECE_MAX) {
        http_body_pause(exchange);
        send_piece(folder);
    }
}

static void on_end(struct http_exchange *exchange, void *arg)
{
    (void)exchange;
    struct folder *folder = arg;
    folder->is_whole = true;
    if (folder->request->ipc_call == NULL) {
        send_piece(folder);
    }
}

void template_context_handle(struct request *request)
{
    static const struct http_body_events events = {.on_piece = on_piece, .on_end = on_end};
    struct err err = {0};
    char id[ID_SIZE];
    if (!read_id(request, id)) {
        return;
    }
    struct folder *folder = calloc(1, sizeof *folder);
    if (folder == NULL) {
        err_set(&err, ERR_INTERNAL, "folder: out of memory");
        request_fail(request, &err);
        return;
    }
    folder->request = request;
    folder->piece = STR_INIT(TEMPLATE_PIECE_MAX);
    folder->base64 = malloc(PIECE_BASE64_SIZE);
    memcpy(folder->template_id, id, ID_SIZE);
    request_set_work(request, folder, end_folder);
    if (folder->base64 == NULL) {
        err_set(&err, ERR_INTERNAL, "folder: out of memory");
        request_fail(request, &err);
        return;
    }
    http_stream_body(request->exchange, FOLDER_BODY_MAX, &events, folder);
}

/* What a making says, as events until its end. */
struct making_log {
    struct request *request; /* which this is the work of */
    char template_id[ID_SIZE];
    enum event_format format;
    int64_t from;
    bool is_held; /* the client has enough: nothing is asked for until it wants more */
};

static void end_log(void *work)
{
    (void)work; /* the call is the request's */
}

static void ask_log(struct making_log *log);

static void on_drained(void *arg)
{
    struct request *request = arg;
    struct making_log *log = request->work;
    if (log->is_held) {
        log->is_held = false;
        ask_log(log);
    }
}

/* {"type":"log","text":...}, {"type":"progress",...} or, last, {"type":"end","status":...}. */
static bool write_events(const struct making_log *log, const struct template_log_answer *answer,
                         struct str *out)
{
    bool is_over = !view_equal(answer->status, VIEW(TEMPLATE_MAKING)) &&
                   !view_equal(answer->status, VIEW(TEMPLATE_WAITING));
    if (answer->text.len > 0) {
        struct json_writer writer = event_begin(log->format, out, "log", NULL);
        json_int(&writer, "from", answer->from);
        json_string(&writer, "text", answer->text);
        event_end(log->format, out, &writer);
    }
    if (!is_over && answer->bytes_total > 0) {
        struct json_writer writer = event_begin(log->format, out, "progress", NULL);
        json_int(&writer, "bytes", answer->bytes);
        json_int(&writer, "bytesTotal", answer->bytes_total);
        event_end(log->format, out, &writer);
    }
    if (is_over) {
        struct json_writer writer = event_begin(log->format, out, "end", NULL);
        json_string(&writer, "status", answer->status);
        if (answer->failure.len > 0) {
            json_string(&writer, "failure", answer->failure);
        }
        event_end(log->format, out, &writer);
    }
    return is_over;
}

static void pass_on(struct making_log *log, const struct template_log_answer *answer)
{
    struct request *request = log->request;
    AUTO(str_free) struct str out = STR_INIT(EVENT_MAX);
    bool is_over = write_events(log, answer, &out);
    log->from = answer->next;
    if (out.failed) {
        request_abort_answer(request);
        return;
    }
    bool has_room = true;
    if (out.len == 0) {
        events_send_ping(request, log->format);
    } else {
        has_room = request_send(request, str_view(&out));
    }
    if (is_over) {
        request_end_answer(request);
        return;
    }
    log->is_held = !has_room;
    if (has_room) {
        ask_log(log);
    }
}

/* The first answer decides whether there is anything to tell; later failures break the answer. */
static void on_log(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct making_log *log = request->work;
    struct template_log_answer answer;
    if (request->is_answering && err != NULL) {
        request->ipc_call = NULL;
        request_abort_answer(request);
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &template_log_answer_schema, &answer);
    if (doc == NULL) {
        return;
    }
    if (!request->is_answering && !events_begin_answer(request, log->format, on_drained)) {
        return;
    }
    pass_on(log, &answer);
}

static void ask_log(struct making_log *log)
{
    struct request *request = log->request;
    struct template_log message = {
        .from = log->from,
        .wait_ms = request->is_answering ? LOG_WAIT_MS : 0,
    };
    memcpy(message.template_id, log->template_id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = TEMPLATE_LOG,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &template_log_schema,
        .message = &message,
    };
    service_ask(request, &question, on_log);
}

void template_log_handle(struct request *request)
{
    struct err err = {0};
    char id[ID_SIZE];
    if (!read_id(request, id)) {
        return;
    }
    struct making_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        err_set(&err, ERR_INTERNAL, "log: out of memory");
        request_fail(request, &err);
        return;
    }
    log->request = request;
    memcpy(log->template_id, id, ID_SIZE);
    if (!events_accepted(http_exchange_header(request->exchange, "Accept"), &log->format)) {
        log->format = EVENTS_SSE;
    }
    request_set_work(request, log, end_log);
    ask_log(log);
}
