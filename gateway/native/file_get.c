/* GET and HEAD .../files?path=: a file, or a part of it, as it is being read.
 *
 * What depends on the file as it is (HEAD, a range, a condition) is decided by a download of no
 * bytes first. */
#include "common/json/write.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/conditions.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/media_types.h"
#include "gateway/native/stream_pull.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ETAG_SIZE = 96, /* with its quotes */
    DISPOSITION_MAX = 1024,
    CONTENT_RANGE_SIZE = 80,
    HEADERS_MAX = 5,
};

struct file_facts {
    int64_t size;
    int64_t length; /* of what comes */
    char etag[ETAG_SIZE];
    char modified[HTTP_DATE_SIZE]; /* "" when it is not known */
};

struct download {
    struct request *request;   /* which this is the work of */
    struct hub_stream *stream; /* owned */
    struct stream_pull pull;
    struct file_name name;
    struct file_facts facts;
    bool is_probe; /* no bytes, only facts */
    bool is_begun; /* the answer's head is sent */
    bool is_partial;
    struct byte_range range; /* when it is partial */
    int64_t left;            /* of the answer */
};

struct download_answer {
    struct view etag;
    struct view modified_at;
    int64_t size;
    int64_t length;
};

static const struct json_field answer_fields[] = {
    JSON_STRING(struct download_answer, etag, "etag", .required = true, .not_empty = true,
                .max_len = ETAG_SIZE - 3),
    JSON_STRING(struct download_answer, modified_at, "modifiedAt"),
    JSON_INT(struct download_answer, size, "size", .required = true, .min = 0, .max = -1),
    JSON_INT(struct download_answer, length, "length", .required = true, .min = 0, .max = -1),
};

static void end_download(void *work)
{
    struct download *download = work;
    hub_stream_close(download->stream);
    download->stream = NULL;
}

static bool read_facts(struct view text, struct file_facts *out, struct err *err)
{
    struct download_answer answer;
    const struct json_schema schema = JSON_SCHEMA(answer_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &answer, NULL, err);
    if (doc == NULL || memchr(answer.etag.ptr, '"', answer.etag.len) != NULL) {
        return err_set(err, ERR_INTERNAL, "the agent answered a download with nonsense");
    }
    out->size = answer.size;
    out->length = answer.length;
    (void)snprintf(out->etag, sizeof out->etag, "\"%.*s\"", (int)answer.etag.len, answer.etag.ptr);
    if (!http_date_of_iso(answer.modified_at, out->modified)) {
        out->modified[0] = '\0';
    }
    return true;
}

/* The headers that say which file and how much of it; texts that they point to. */
struct file_head {
    char range[CONTENT_RANGE_SIZE];
    struct str disposition;
    struct http_header headers[HEADERS_MAX];
    size_t count;
};

static void add_header(struct file_head *head, struct view name, struct view value)
{
    if (value.len > 0) {
        head->headers[head->count++] = (struct http_header){name, value};
    }
}

static void write_head(const struct download *download, struct file_head *head)
{
    const struct file_facts *facts = &download->facts;
    *head = (struct file_head){.disposition = STR_INIT(DISPOSITION_MAX)};
    media_disposition(view_of(download->name.path), &head->disposition);
    if (download->is_partial) {
        (void)snprintf(head->range, sizeof head->range, "bytes %" PRId64 "-%" PRId64 "/%" PRId64,
                       download->range.first, download->range.first + download->range.length - 1,
                       facts->size);
    }
    add_header(head, VIEW("ETag"), view_of(facts->etag));
    add_header(head, VIEW("Last-Modified"), view_of(facts->modified));
    add_header(head, VIEW("Accept-Ranges"), VIEW("bytes"));
    add_header(head, VIEW("Content-Range"), view_of(head->range));
    /* A name too long for a header is left out: the file is saved all the same. */
    add_header(head, VIEW("Content-Disposition"),
               head->disposition.failed ? VIEW("attachment") : str_view(&head->disposition));
}

static void on_drained(void *arg)
{
    struct request *request = arg;
    struct download *download = request->work;
    stream_pull_resume(&download->pull, download->stream);
}

static void begin_answer(struct download *download, int64_t length)
{
    struct file_head head;
    write_head(download, &head);
    const struct http_response response = {
        .status = download->is_partial ? 206 : 200,
        .content_type = media_type_of(view_of(download->name.path)),
        .headers = head.headers,
        .header_count = head.count,
    };
    download->is_begun = true;
    download->left = length;
    request_begin_answer(download->request, &response, length, on_drained);
    str_free(&head.disposition);
}

static void respond_not_modified(const struct download *download)
{
    struct file_head head;
    write_head(download, &head);
    const struct http_response response = {
        .status = 304, .headers = head.headers, .header_count = 2};
    struct request *request = download->request;
    request_respond(request, &response);
    str_free(&head.disposition);
}

static void respond_unsatisfiable(const struct download *download)
{
    char text[CONTENT_RANGE_SIZE];
    static const char format[] =
        "{\"error\":\"The file has only %" PRId64 " bytes.\",\"code\":\"range_not_satisfiable\","
        "\"requestId\":\"%s\"}";
    char body[sizeof format + HTTP_REQUEST_ID_SIZE + 20];
    int length = snprintf(text, sizeof text, "bytes */%" PRId64, download->facts.size);
    const struct http_header header = {VIEW("Content-Range"), {text, (size_t)length}};
    (void)snprintf(body, sizeof body, format, download->facts.size,
                   download->request->trace.request_id);
    const struct http_response response = {
        .status = 416, .body = view_of(body), .headers = &header, .header_count = 1};
    request_respond(download->request, &response);
}

static void open_stream(struct download *download);

static bool is_unmodified(const struct download *download)
{
    const struct http_exchange *exchange = download->request->exchange;
    struct view tags = http_exchange_header(exchange, "If-None-Match");
    struct view since = http_exchange_header(exchange, "If-Modified-Since");
    if (tags.len > 0) {
        return etag_list_has(tags, view_of(download->facts.etag));
    }
    return since.len > 0 && view_equal(since, view_of(download->facts.modified));
}

/* A range that was meant for another state of the file is no range. */
static bool range_holds(const struct download *download)
{
    struct view wanted = http_exchange_header(download->request->exchange, "If-Range");
    return wanted.len == 0 || view_equal(wanted, view_of(download->facts.etag)) ||
           view_equal(wanted, view_of(download->facts.modified));
}

static void decide(struct download *download)
{
    struct request *request = download->request;
    struct view range = http_exchange_header(request->exchange, "Range");
    bool is_head = http_exchange_head(request->exchange)->method == HTTP_HEAD;
    enum range_outcome outcome = RANGE_WHOLE;
    if (is_unmodified(download)) {
        respond_not_modified(download);
        return;
    }
    if (!is_head && range_holds(download)) { /* Range has a meaning for GET only */
        outcome = range_resolve(range, download->facts.size, &download->range);
    }
    if (outcome == RANGE_UNSATISFIABLE) {
        respond_unsatisfiable(download);
        return;
    }
    download->is_partial = outcome == RANGE_PART;
    if (is_head) {
        begin_answer(download, download->facts.size);
        request_end_answer(request);
        return;
    }
    end_download(download);
    download->is_probe = false;
    open_stream(download);
}

/* Whether what comes is what was decided on. */
static bool check_facts(const struct download *download, const struct file_facts *facts,
                        struct err *err)
{
    bool is_first = download->facts.etag[0] == '\0';
    bool is_same = strcmp(download->facts.etag, facts->etag) == 0 &&
                   (!download->is_partial || facts->length == download->range.length);
    if (is_first || is_same) {
        return true;
    }
    agent_error_of_code("file_changed", err);
    return false;
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct download *download = arg;
    struct file_facts facts = {0};
    struct err failure = {0};
    if (err != NULL || view_equal(reply->type, VIEW("error"))) {
        download->stream = NULL;
    }
    if (!agent_replied(download->request, reply, err)) {
        return;
    }
    if (!read_facts(reply->text, &facts, &failure) || !check_facts(download, &facts, &failure)) {
        request_fail(download->request, &failure);
        return;
    }
    download->facts = facts;
    if (download->is_probe) {
        decide(download);
    } else {
        begin_answer(download, facts.length);
    }
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    (void)kind;
    struct download *download = arg;
    if (!download->is_begun) {
        return; /* behind a probe */
    }
    if (bytes.len > (uint64_t)download->left) {
        request_abort_answer(download->request);
        return;
    }
    download->left -= (int64_t)bytes.len;
    bool has_room = request_send(download->request, bytes);
    stream_pull_took(&download->pull, download->stream, bytes.len, has_room);
}

static void on_fin(void *arg)
{
    struct download *download = arg;
    if (!download->is_begun) {
        return; /* behind a probe */
    }
    if (download->left == 0) {
        request_end_answer(download->request);
    } else {
        request_abort_answer(download->request);
    }
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct download *download = arg;
    struct err failure = {0};
    download->stream = NULL;
    if (download->is_begun) {
        request_abort_answer(download->request);
        return;
    }
    if (err == NULL) {
        agent_error_of_code(code == NULL ? "" : code, &failure);
    }
    request_fail(download->request, err != NULL ? err : &failure);
}

static const struct hub_stream_events events = {
    .on_reply = on_reply, .on_bytes = on_bytes, .on_fin = on_fin, .on_closed = on_closed};

static void write_message(const struct download *download, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("download"));
    json_string(&writer, "path", view_of(download->name.path));
    if (download->name.user[0] != '\0') {
        json_string(&writer, "user", view_of(download->name.user));
    }
    if (download->is_probe) {
        json_int(&writer, "length", 0);
    } else if (download->is_partial) {
        json_int(&writer, "offset", download->range.first);
        json_int(&writer, "length", download->range.length);
    }
    json_end_object(&writer);
}

static void open_stream(struct download *download)
{
    struct request *request = download->request;
    struct hub_message message;
    struct err err = {0};
    AUTO(str_free) struct str text = STR_INIT(AGENT_ASK_MAX);
    write_message(download, &text);
    if (agent_message(&text, &message, &err)) {
        download->stream = hub_stream_open(request->gateway->hub, request->id, &message,
                                           AGENT_FILE_TIMEOUT_MS, &events, download, &err);
    }
    if (download->stream == NULL) {
        request_fail(request, &err);
    }
}

static bool depends_on_facts(const struct http_exchange *exchange)
{
    return http_exchange_head(exchange)->method == HTTP_HEAD ||
           http_exchange_header(exchange, "Range").len > 0 ||
           http_exchange_header(exchange, "If-None-Match").len > 0 ||
           http_exchange_header(exchange, "If-Modified-Since").len > 0;
}

void file_get(struct request *request, const struct file_name *name)
{
    struct err err = {0};
    struct download *download = calloc(1, sizeof *download);
    if (download == NULL) {
        err_set(&err, ERR_INTERNAL, "download: out of memory");
        request_fail(request, &err);
        return;
    }
    download->request = request;
    download->name = *name;
    download->is_probe = depends_on_facts(request->exchange);
    request_set_work(request, download, end_download);
    open_stream(download);
}
