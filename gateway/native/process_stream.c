#include "gateway/native/process_stream.h"

#include "common/contracts/agent.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/stream_pull.h"
#include "gateway/native/text_carry.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    EVENT_MAX = 2 * AGENT_MESSAGE_MAX, /* six bytes of JSON for each of output at most */
    EVENT_ID_SIZE = 64,
    SIDES = 2,
};

/* One kind of output: stdout, or the data of a terminal; stderr. */
struct side {
    int64_t offset; /* behind what was sent on, less what is carried */
    struct text_carry carry;
};

struct process_stream {
    struct request *request;   /* which this is the work of */
    struct hub_stream *stream; /* owned */
    struct process_stream_options options;
    struct stream_pull pull;
    struct timer ping;
    struct str out;     /* one event */
    struct str scratch; /* of text_carry_join */
    struct process_answer process;
    struct side sides[SIDES];
    bool is_begun;
    bool has_exited;
};

static void end_process_stream(void *work)
{
    struct process_stream *process = work;
    hub_stream_close(process->stream);
    process->stream = NULL;
    timer_close(&process->ping);
    str_free(&process->out);
    str_free(&process->scratch);
}

struct offsets {
    int64_t first; /* so that no present member is at 0 */
    int64_t out;
    int64_t err;
    int64_t data;
    bool has_data;
};
struct answer {
    int64_t pid;
    bool running;
    bool pty;
    struct offsets offsets;
};

static const struct json_field offset_fields[] = {
    JSON_INT(struct offsets, out, "stdout", .min = 0, .max = -1),
    JSON_INT(struct offsets, err, "stderr", .min = 0, .max = -1),
    JSON_INT(struct offsets, data, "data", JSON_PRESENT(struct offsets, has_data), .min = 0,
             .max = -1),
};
static const struct json_field answer_fields[] = {
    JSON_INT(struct answer, pid, "pid", .required = true),
    JSON_BOOL(struct answer, running, "running", .fallback = true),
    JSON_BOOL(struct answer, pty, "pty"),
    JSON_STRUCT(struct answer, offsets, "offsets", offset_fields),
};

bool process_answer_read(struct view text, struct process_answer *out, struct err *err)
{
    struct answer answer;
    const struct json_schema schema = JSON_SCHEMA(answer_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &answer, NULL, err);
    if (doc == NULL) {
        return err_set(err, ERR_INTERNAL, "the agent answered about a process with nonsense");
    }
    const struct offsets *offsets = &answer.offsets;
    *out = (struct process_answer){
        .pid = answer.pid,
        .running = answer.running,
        .pty = answer.pty || offsets->has_data,
        .offsets = {offsets->has_data ? offsets->data : offsets->out, offsets->err},
    };
    return true;
}

/* Sends the event in out. */
static bool send_event(struct process_stream *process)
{
    struct err err = {0};
    bool has_room = false;
    if (str_check(&process->out, "event", &err)) {
        has_room = request_send(process->request, str_view(&process->out));
    } else {
        request_abort_answer(process->request);
    }
    return has_room;
}

static struct json_writer begin_event(struct process_stream *process, const char *type)
{
    char id[EVENT_ID_SIZE];
    (void)snprintf(id, sizeof id, "%" PRId64 ":%" PRId64 ":%" PRId64, process->process.pid,
                   process->sides[0].offset, process->sides[1].offset);
    str_clear(&process->out);
    return event_begin(process->options.format, &process->out, type, id);
}

/* Sends text, whose first byte is at the side's offset. */
static bool send_output(struct process_stream *process, enum stream_kind kind, struct view text)
{
    static const char *const names[] = {
        [STREAM_DATA] = "data", [STREAM_STDOUT] = "stdout", [STREAM_STDERR] = "stderr"};
    struct side *side = &process->sides[kind == STREAM_STDERR];
    int64_t offset = side->offset;
    side->offset += (int64_t)text.len;
    struct json_writer writer = begin_event(process, names[kind]);
    if (process->options.base64) {
        json_base64(&writer, "data", text);
    } else {
        json_string(&writer, "data", text);
    }
    json_int(&writer, "offset", offset);
    event_end(process->options.format, &process->out, &writer);
    return send_event(process);
}

/* What is still carried never becomes a character. */
static void flush_carry(struct process_stream *process, enum stream_kind kind)
{
    struct text_carry *carry = &process->sides[kind == STREAM_STDERR].carry;
    if (carry->len > 0) {
        char bytes[TEXT_CARRY_MAX];
        struct view text = {bytes, carry->len};
        memcpy(bytes, carry->bytes, sizeof bytes);
        carry->len = 0;
        (void)send_output(process, kind, text);
    }
}

static enum stream_kind first_kind(const struct process_stream *process)
{
    return process->process.pty ? STREAM_DATA : STREAM_STDOUT;
}

static void flush_carries(struct process_stream *process)
{
    flush_carry(process, first_kind(process));
    if (!request_is_over(process->request)) {
        flush_carry(process, STREAM_STDERR);
    }
}

/* An event of the agent's own words. */
static void send_agent_text(struct process_stream *process, const char *type, struct view text)
{
    struct err err = {0};
    struct json_writer writer = begin_event(process, type);
    if (!agent_copy_members(text, &process->out, &err)) {
        request_abort_answer(process->request);
        return;
    }
    event_end(process->options.format, &process->out, &writer);
    (void)send_event(process);
}

static void on_drained(void *arg)
{
    struct request *request = arg;
    struct process_stream *process = request->work;
    stream_pull_resume(&process->pull, process->stream);
}

static void on_ping(void *arg)
{
    struct process_stream *process = arg;
    timer_arm_common(&process->ping, EVENTS_PING_MS);
    events_send_ping(process->request, process->options.format);
}

/* Everything that was asked for is sent. */
static bool end_if_reached(struct process_stream *process)
{
    const struct process_stream_options *options = &process->options;
    for (size_t i = 0; i < SIDES; i++) {
        int64_t reached = process->sides[i].offset + (int64_t)process->sides[i].carry.len;
        if (!options->has_end || reached < options->end[i]) {
            return false;
        }
    }
    flush_carries(process);
    if (request_is_over(process->request)) {
        return true;
    }
    struct json_writer writer = begin_event(process, "end");
    json_int(&writer, "pid", process->process.pid);
    json_begin_object(&writer, "offsets");
    json_int(&writer, process->process.pty ? "data" : "stdout", process->sides[0].offset);
    if (!process->process.pty) {
        json_int(&writer, "stderr", process->sides[1].offset);
    }
    json_end_object(&writer);
    event_end(options->format, &process->out, &writer);
    (void)send_event(process);
    if (!request_is_over(process->request)) {
        request_end_answer(process->request);
    }
    return true;
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct process_stream *process = arg;
    struct err failure = {0};
    if (err != NULL || view_equal(reply->type, VIEW("error"))) {
        process->stream = NULL;
    }
    if (!agent_replied(process->request, reply, err)) {
        return;
    }
    if (!process_answer_read(reply->text, &process->process, &failure) ||
        !timer_open(&process->ping, process->request->gateway->loop, on_ping, process, &failure)) {
        request_fail(process->request, &failure);
        return;
    }
    for (size_t i = 0; i < SIDES; i++) {
        process->sides[i].offset = process->process.offsets[i];
    }
    process->is_begun = true;
    request_end_act(process->request, NULL);
    timer_arm_common(&process->ping, EVENTS_PING_MS);
    if (!events_begin_answer(process->request, process->options.format, on_drained)) {
        return;
    }
    send_agent_text(process, "start", reply->text);
    if (!request_is_over(process->request)) {
        (void)end_if_reached(process);
    }
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    struct process_stream *process = arg;
    struct view text = bytes;
    bool has_room = true;
    if (!process->is_begun) {
        return;
    }
    if (!process->options.base64) {
        text =
            text_carry_join(&process->sides[kind == STREAM_STDERR].carry, bytes, &process->scratch);
    }
    if (text.len > 0) {
        has_room = send_output(process, kind, text);
    }
    if (!request_is_over(process->request) && !end_if_reached(process)) {
        stream_pull_took(&process->pull, process->stream, bytes.len, has_room);
    }
}

struct gap {
    struct view kind;
    int64_t to;
};

static const struct json_field gap_fields[] = {
    JSON_STRING(struct gap, kind, "kind", .required = true),
    JSON_INT(struct gap, to, "to", .required = true, .min = 0, .max = -1),
};

static void on_gap(struct process_stream *process, struct view text)
{
    struct gap gap;
    struct err err = {0};
    const struct json_schema schema = JSON_SCHEMA(gap_fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(text, &schema, &gap, NULL, &err);
    if (doc == NULL) {
        request_abort_answer(process->request);
        return;
    }
    bool is_stderr = view_equal(gap.kind, VIEW("stderr"));
    flush_carry(process, is_stderr ? STREAM_STDERR : first_kind(process));
    if (request_is_over(process->request)) {
        return;
    }
    process->sides[is_stderr].offset = gap.to;
    send_agent_text(process, "gap", text);
    if (!request_is_over(process->request)) {
        (void)end_if_reached(process);
    }
}

static void on_text(const struct hub_stream_text *said, void *arg)
{
    struct process_stream *process = arg;
    if (!process->is_begun) {
        return;
    }
    if (view_equal(said->type, VIEW("gap"))) {
        on_gap(process, said->text);
    } else if (view_equal(said->type, VIEW("exit"))) {
        process->has_exited = true;
        flush_carries(process);
        if (!request_is_over(process->request)) {
            send_agent_text(process, "exit", said->text);
        }
    }
}

/* What became of the process is not known: that is what the client hears. */
static void send_lost(struct process_stream *process, const char *reason)
{
    flush_carries(process);
    if (request_is_over(process->request)) {
        return;
    }
    struct json_writer writer = begin_event(process, "exit");
    json_int(&writer, "pid", process->process.pid);
    json_null(&writer, "exitCode");
    json_null(&writer, "signal");
    json_string(&writer, "reason", view_of(reason));
    json_null(&writer, "durationMs");
    event_end(process->options.format, &process->out, &writer);
    (void)send_event(process);
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct process_stream *process = arg;
    struct err failure = {0};
    process->stream = NULL;
    if (!process->is_begun) {
        agent_error_of_code(code == NULL ? "" : code, &failure);
        request_fail(process->request, err != NULL ? err : &failure);
        return;
    }
    if (!process->has_exited && err != NULL) {
        bool is_gone = strcmp(err->reason, "sandbox_gone") == 0;
        send_lost(process, is_gone ? "sandbox_gone" : "agent_lost");
    }
    if (request_is_over(process->request)) {
        return;
    }
    if (process->has_exited || err != NULL) {
        request_end_answer(process->request);
    } else {
        request_abort_answer(process->request);
    }
}

static const struct hub_stream_events events = {
    .on_reply = on_reply, .on_bytes = on_bytes, .on_text = on_text, .on_closed = on_closed};

void process_stream_begin(struct request *request, struct str *message,
                          const struct process_stream_options *options)
{
    struct err err = {0};
    struct hub_message parts;
    struct process_stream *process = calloc(1, sizeof *process);
    if (process == NULL) {
        err_set(&err, ERR_INTERNAL, "process stream: out of memory");
        request_fail(request, &err);
        return;
    }
    process->request = request;
    process->options = *options;
    process->out = STR_INIT(EVENT_MAX);
    process->scratch = STR_INIT(EVENT_MAX);
    request_set_work(request, process, end_process_stream);
    if (agent_message(message, &parts, &err)) {
        process->stream =
            hub_stream_open(request->gateway->hub, request->id, &parts, 0, &events, process, &err);
    }
    if (process->stream == NULL) {
        request_fail(request, &err);
    }
}
