/* .../sandbox/{id}/processes: what was started through the API. {item} is a pid or a tag. */
#include "common/contracts/agent_process.h"
#include "common/json/scan.h"
#include "common/json/write.h"
#include "gateway/hub/stream.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/parameters.h"
#include "gateway/native/process_stream.h"
#include "gateway/native/routes.h"

#include <stdlib.h>

enum {
    SMALL_MESSAGE_MAX = 4096,
    NAME_SIZE = NAME_TAG_MAX + 1,
    PID_DIGITS_MAX = 9,
    COUNT_DIGITS_MAX = 18, /* of an offset: so that it fits */
};

/* The process that the path names; name is what its tag points to. */
static bool read_named(const struct request *request, char name[NAME_SIZE], struct agent_named *out,
                       struct err *err)
{
    const char *problem;
    *out = (struct agent_named){0};
    if (http_decode(request->item, name, NAME_SIZE)) {
        size_t digits = strspn(name, "0123456789");
        if (digits > 0 && digits <= PID_DIGITS_MAX && name[digits] == '\0') {
            out->pid = strtol(name, NULL, 10);
            out->has_pid = out->pid > 0;
        } else if (agent_tag_check(view_of(name), &problem)) {
            out->tag = view_of(name);
        }
    }
    return out->has_pid || out->tag.len > 0 ||
           err_set_reason(err, ERR_NOT_FOUND, "process_not_found",
                          "There is no process of this pid or tag.");
}

static void write_named(struct json_writer *writer, const struct agent_named *named)
{
    if (named->has_pid) {
        json_int(writer, "pid", named->pid);
    } else {
        json_string(writer, "tag", named->tag);
    }
}

void processes_list_handle(struct request *request)
{
    struct err err = {0};
    AUTO(str_free) struct str message = STR_INIT(SMALL_MESSAGE_MAX);
    if (!agent_is_there(request, &err)) {
        request_fail(request, &err);
        return;
    }
    str_append_string(&message, "{\"type\":\"ps\"}");
    agent_ask(request, &message, AGENT_FILE_TIMEOUT_MS);
}

/* A body that is one of the agent's own requests but for what the path and the hub say. */
struct agent_body {
    const char *type;
    const struct json_schema *schema;
    void *message; /* of the schema; the rest points into it */
    struct view *id_member;
    struct view *type_member;
    struct agent_named *process;
    char *name; /* NAME_SIZE bytes, for the tag */
};

static void forward(struct request *request, const struct agent_body *body)
{
    struct err err = {0};
    struct json_violations violations = {0};
    AUTO(str_free) struct str message = STR_INIT(AGENT_ASK_MAX);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, body->schema, body->message, &violations, &err);
    if (doc == NULL || !read_named(request, body->name, body->process, &err) ||
        !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    *body->id_member = (struct view){0};
    *body->type_member = view_of(body->type);
    struct json_writer writer = json_writer_on(&message);
    json_begin_object(&writer, NULL);
    json_struct(&writer, body->schema, body->message);
    json_end_object(&writer);
    agent_ask(request, &message, AGENT_FILE_TIMEOUT_MS);
}

static void find_number(const struct json_member *member, void *arg)
{
    bool *is_number = arg;
    if (view_equal(member->name, VIEW("signal"))) {
        *is_number = member->value.len > 0 && member->value.ptr[0] != '"';
    }
}

void processes_signal_handle(struct request *request)
{
    struct err ignored = {0}; /* a body that is no JSON fails behind this */
    struct agent_signal message;
    char name[NAME_SIZE];
    bool is_number = false;
    bool scanned = json_scan(request->body, find_number, &is_number, &ignored);
    const struct agent_body body = {
        .type = "signal",
        .schema = scanned && is_number ? &agent_signal_number_schema : &agent_signal_schema,
        .message = &message,
        .id_member = &message.id,
        .type_member = &message.type,
        .process = &message.process,
        .name = name,
    };
    forward(request, &body);
}

void processes_stdin_handle(struct request *request)
{
    struct agent_input message;
    char name[NAME_SIZE];
    const struct agent_body body = {.type = "input",
                                    .schema = &agent_input_schema,
                                    .message = &message,
                                    .id_member = &message.id,
                                    .type_member = &message.type,
                                    .process = &message.process,
                                    .name = name};
    forward(request, &body);
}

void processes_resize_handle(struct request *request)
{
    struct agent_resize message;
    char name[NAME_SIZE];
    const struct agent_body body = {.type = "resize",
                                    .schema = &agent_resize_schema,
                                    .message = &message,
                                    .id_member = &message.id,
                                    .type_member = &message.type,
                                    .process = &message.process,
                                    .name = name};
    forward(request, &body);
}

/* GET .../output: an attach. Without follow, one from the end comes first, to learn where that is.
 */
struct output {
    struct request *request;   /* which this is the work of */
    struct hub_stream *stream; /* owned; of the first attach */
    struct process_stream_options options;
    struct agent_named process;
    char name[NAME_SIZE];
    bool follow;
    int64_t offset;
    int64_t stdout_offset;
    int64_t stderr_offset;
};

/* Offsets that are not asked for. */
static const int64_t ABSENT = -2;

static void end_output(void *work)
{
    struct output *output = work;
    hub_stream_close(output->stream);
    output->stream = NULL;
}

static void write_attach(const struct output *output, bool from_end, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("attach"));
    write_named(&writer, &output->process);
    if (from_end) {
        json_int(&writer, "offset", -1);
    } else {
        if (output->offset != ABSENT) {
            json_int(&writer, "offset", output->offset);
        }
        if (output->stdout_offset != ABSENT) {
            json_int(&writer, "stdoutOffset", output->stdout_offset);
        }
        if (output->stderr_offset != ABSENT) {
            json_int(&writer, "stderrOffset", output->stderr_offset);
        }
    }
    json_end_object(&writer);
}

/* The rest is process_stream.c's, which takes the place of what is known here. */
static void begin_stream(struct output *output)
{
    struct request *request = output->request;
    const struct process_stream_options options = output->options;
    AUTO(str_free) struct str message = STR_INIT(SMALL_MESSAGE_MAX);
    write_attach(output, false, &message);
    request_drop_work(request);
    process_stream_begin(request, &message, &options);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct output *output = arg;
    struct err failure = {0};
    struct process_answer answer;
    if (err != NULL || view_equal(reply->type, VIEW("error"))) {
        output->stream = NULL;
    }
    if (!agent_replied(output->request, reply, err)) {
        return;
    }
    if (!process_answer_read(reply->text, &answer, &failure)) {
        request_fail(output->request, &failure);
        return;
    }
    /* One that has ended ends by its exit. */
    output->options.has_end = answer.running;
    memcpy(output->options.end, answer.offsets, sizeof answer.offsets);
    begin_stream(output);
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct output *output = arg;
    struct err failure = {0};
    (void)code;
    output->stream = NULL;
    err_set_reason(&failure, ERR_UNAVAILABLE, "agent_lost", "the stream was reset");
    request_fail(output->request, err != NULL ? err : &failure);
}

static const struct hub_stream_events events = {.on_reply = on_reply, .on_closed = on_closed};

static void find_end(struct output *output)
{
    struct request *request = output->request;
    struct hub_message parts;
    struct err err = {0};
    AUTO(str_free) struct str message = STR_INIT(SMALL_MESSAGE_MAX);
    write_attach(output, true, &message);
    if (agent_message(&message, &parts, &err)) {
        output->stream = hub_stream_open(request->gateway->hub, request->id, &parts,
                                         AGENT_FILE_TIMEOUT_MS, &events, output, &err);
    }
    if (output->stream == NULL) {
        request_fail(request, &err);
    }
}

/* Digits alone, and not too many of them. */
static bool read_count(struct view text, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i == COUNT_DIGITS_MAX) {
            return false;
        }
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return text.len > 0;
}

/* Last-Event-ID of a client that comes back: "<pid>:<stdout or data>:<stderr>". */
static void read_last_event(const struct request *request, struct output *output)
{
    struct view header = http_exchange_header(request->exchange, "Last-Event-ID");
    int64_t first;
    int64_t second;
    (void)view_cut(&header, ':');
    if (read_count(view_cut(&header, ':'), &first) && read_count(header, &second)) {
        output->offset = first;
        output->stdout_offset = first;
        output->stderr_offset = second;
    }
}

static void read_options(const struct request *request, struct parameters *parameters,
                         struct output *output)
{
    static const char *const formats[] = {"", "sse", "ndjson", NULL};
    static const char *const encodings[] = {"utf8", "base64", NULL};
    static const enum event_format chosen[] = {EVENTS_NDJSON, EVENTS_SSE, EVENTS_NDJSON};
    size_t format = parameter_word(parameters, "format", formats);
    output->options.format = chosen[format];
    if (format == 0 && !events_accepted(http_exchange_header(request->exchange, "Accept"),
                                        &output->options.format)) {
        output->options.format = EVENTS_NDJSON;
    }
    output->options.base64 = parameter_word(parameters, "encoding", encodings) == 1;
    output->follow = parameter_bool(parameters, "follow", false);
    output->offset = parameter_int(parameters, "offset", -1, INT64_MAX, ABSENT);
    output->stdout_offset = parameter_int(parameters, "stdoutOffset", -1, INT64_MAX, ABSENT);
    output->stderr_offset = parameter_int(parameters, "stderrOffset", -1, INT64_MAX, ABSENT);
    read_last_event(request, output);
}

void processes_output_handle(struct request *request)
{
    struct err err = {0};
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    struct output *output = calloc(1, sizeof *output);
    if (output == NULL) {
        err_set(&err, ERR_INTERNAL, "output: out of memory");
        request_fail(request, &err);
        return;
    }
    output->request = request;
    request_set_work(request, output, end_output);
    read_options(request, &parameters, output);
    if (!parameters_check(&parameters, &err) ||
        !read_named(request, output->name, &output->process, &err) ||
        !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
    } else if (output->follow) {
        begin_stream(output);
    } else {
        find_end(output);
    }
}
