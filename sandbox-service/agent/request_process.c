#include "common/base/clock.h"
#include "common/base/encode.h"
#include "common/json/scan.h"
#include "sandbox-service/agent/attach.h"
#include "sandbox-service/agent/exit_text.h"
#include "sandbox-service/agent/process_fed.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/usage.h"

#include <signal.h>
#include <stdlib.h>

/* A line of a session's shell is no process by itself. */
static struct process *find(const struct requests *requests, const struct agent_named *named,
                            struct err *err)
{
    struct process *process =
        agent_named_check(named, err) ? process_find(requests->processes, named, err) : NULL;
    if (process != NULL && process_is_fed(process)) {
        err_set_reason(err, ERR_CONFLICT, "in_session",
                       "This is a line of a session: signals go to the pid of its shell.");
        return NULL;
    }
    return process;
}

/* The same for its input: that of a session's shell is the session's alone. */
static struct process *find_free(const struct requests *requests, const struct agent_named *named,
                                 struct err *err)
{
    struct process *process = find(requests, named, err);
    if (process != NULL && process_about(process)->session.len > 0) {
        err_set_reason(err, ERR_CONFLICT, "in_session",
                       "This is the shell of a session: only the session speaks with it.");
        return NULL;
    }
    return process;
}

/* The number of a session's shell means the line that it runs, or ran last. */
static struct process *find_attachable(const struct requests *requests,
                                       const struct agent_named *named, struct err *err)
{
    if (!agent_named_check(named, err)) {
        return NULL;
    }
    struct process *process = process_find(requests->processes, named, err);
    bool is_shell = process != NULL && process_about(process)->session.len > 0;
    return named->has_pid && (process == NULL || is_shell)
               ? process_fed_find(requests->processes, (pid_t)named->pid, err)
               : process;
}

/* {"id","type","pid"}, with more members to come. */
static struct json_writer begin_answer(const struct reply *reply, struct str *out, const char *type,
                                       const struct process *process)
{
    struct json_writer writer = reply_begin(reply, out, type);
    json_int(&writer, "pid", process_pid(process));
    return writer;
}

static void answer(const struct reply *reply, const char *type, const struct process *process)
{
    struct str out;
    struct json_writer writer = begin_answer(reply, &out, type, process);
    reply_end(reply, &writer);
}

static struct attach_from from_of(const struct agent_attach *request, bool has, int64_t offset)
{
    return (struct attach_from){.asked = has || request->has_offset,
                                .offset = has ? offset : request->offset};
}

static bool attach(const struct requests *requests, const struct reply *reply,
                   const struct agent_attach *request, struct err *err)
{
    const struct attach_from from[PROCESS_OUTPUTS] = {
        from_of(request, request->has_stdout_offset, request->stdout_offset),
        from_of(request, request->has_stderr_offset, request->stderr_offset),
    };
    struct process *process = find_attachable(requests, &request->process, err);
    if (process == NULL) {
        return false;
    }
    struct attachment *attachment =
        attach_open(requests->streams, reply, (uint32_t)request->stream_id, err);
    if (attachment == NULL) {
        return false;
    }
    attach_join(attachment, process, from);
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "attachResponse");
    attach_write(attachment, &writer);
    json_bool(&writer, "running", process_is_running(process));
    json_bool(&writer, "pty", process_has_terminal(process));
    reply_end(reply, &writer);
    attach_go(attachment);
    return true;
}

void request_attach(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_attach request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_attach_schema, &request);
    if (doc != NULL && !attach(requests, reply, &request, &err)) {
        reply_error(reply, &err);
    }
}

/* bytes is data, or what it stands for, in memory of *decoded. */
static bool decode(const struct agent_input *request, uint8_t **decoded, struct view *bytes,
                   struct err *err)
{
    *bytes = request->data;
    if (!view_equal(request->encoding, VIEW("base64"))) {
        return true;
    }
    *decoded = malloc(ENCODE_BASE64_DECODED_MAX(request->data.len));
    if (*decoded == NULL) {
        return err_set(err, ERR_INTERNAL, "input: out of memory");
    }
    size_t len = 0;
    if (!encode_base64_decode(ENCODE_BASE64, request->data, *decoded, &len)) {
        return err_set_reason(err, ERR_INVALID, "invalid_request", "data is no base64");
    }
    *bytes = (struct view){(const char *)*decoded, len};
    return true;
}

static void free_bytes(uint8_t **bytes)
{
    free(*bytes);
}

static bool input(const struct requests *requests, const struct reply *reply,
                  const struct agent_input *request, struct err *err)
{
    AUTO(free_bytes) uint8_t *decoded = NULL;
    struct view bytes;
    struct process *process = find_free(requests, &request->process, err);
    if (process == NULL || !decode(request, &decoded, &bytes, err) ||
        !process_write(process, NULL, bytes, err) ||
        (request->eof && !process_close_stdin(process, err))) {
        return false;
    }
    struct str out;
    struct json_writer writer = begin_answer(reply, &out, "inputResponse", process);
    json_int(&writer, "bytes", (int64_t)bytes.len);
    reply_end(reply, &writer);
    return true;
}

void request_input(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_input request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_input_schema, &request);
    if (doc != NULL && !input(requests, reply, &request, &err)) {
        reply_error(reply, &err);
    }
}

void request_close_stdin(const struct requests *requests, const struct reply *reply,
                         struct view text)
{
    struct agent_close_stdin request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_close_stdin_schema, &request);
    if (doc == NULL) {
        return;
    }
    struct process *process = find_free(requests, &request.process, &err);
    if (process != NULL && process_close_stdin(process, &err)) {
        answer(reply, "closeStdinResponse", process);
    } else {
        reply_error(reply, &err);
    }
}

void request_resize(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_resize request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_resize_schema, &request);
    if (doc == NULL) {
        return;
    }
    const struct agent_terminal size = {.cols = request.cols, .rows = request.rows};
    struct process *process = find(requests, &request.process, &err);
    if (process != NULL && process_resize(process, &size, &err)) {
        answer(reply, "resizeResponse", process);
    } else {
        reply_error(reply, &err);
    }
}

/* The member "signal" may be a number or a name. */
static void find_number(const struct json_member *member, void *arg)
{
    bool *is_number = arg;
    if (view_equal(member->name, VIEW("signal")) && member->value.len > 0) {
        char first = member->value.ptr[0];
        *is_number = first == '-' || (first >= '0' && first <= '9');
    }
}

static bool send_signal(const struct requests *requests, const struct reply *reply,
                        const struct agent_signal *request, struct err *err)
{
    int number = request->name.len == 0 ? (int)request->number : signal_from_name(request->name);
    if (number == 0) {
        return err_set_reason(err, ERR_INVALID, "invalid_request", "there is no such signal");
    }
    struct process *process = find(requests, &request->process, err);
    if (process == NULL || !process_signal(process, number, request->group, err)) {
        return false;
    }
    answer(reply, "signalResponse", process);
    return true;
}

void request_signal(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_signal request;
    struct err err;
    bool is_number = false;
    (void)!json_scan(text, find_number, &is_number, &err); /* the parser tells what is wrong */
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(
        reply, text, is_number ? &agent_signal_number_schema : &agent_signal_schema, &request);
    if (doc != NULL && !send_signal(requests, reply, &request, &err)) {
        reply_error(reply, &err);
    }
}

/* Of ps. */
struct listing {
    struct json_writer writer;
    bool short_form; /* without arguments */
};

static void write_usage(struct json_writer *writer, const struct process *process)
{
    struct usage usage;
    if (process_is_running(process) && usage_read(process_pid(process), &usage)) {
        json_int(writer, "cpuMs", usage.cpu_ms);
        json_int(writer, "memoryBytes", usage.memory_bytes);
    } else {
        json_null(writer, "cpuMs");
        json_null(writer, "memoryBytes");
    }
}

static void write_process(struct process *process, void *arg)
{
    struct listing *listing = arg;
    struct json_writer *writer = &listing->writer;
    if (process_is_fed(process)) {
        return;
    }
    const struct about *about = process_about(process);
    char started[CLOCK_ISO_SIZE];
    clock_format_iso(process_started_wall_ms(process), started);
    json_begin_object(writer, NULL);
    json_int(writer, "pid", process_pid(process));
    json_view_or_null(writer, "tag", about->tag);
    json_string(writer, "cmd", about->cmd);
    json_raw(writer, "args", listing->short_form ? VIEW("[]") : about->args);
    json_string(writer, "cwd", about->cwd);
    json_string(writer, "user", about->user);
    json_bool(writer, "pty", process_has_terminal(process));
    json_view_or_null(writer, "session", about->session);
    json_string(writer, "startedAt", view_of(started));
    json_bool(writer, "running", process_is_running(process));
    exit_write(writer, process_exit_of(process));
    write_usage(writer, process);
    json_int(writer, "attached",
             about->session.len > 0 ? 0 : (int64_t)process_reader_count(process));
    json_end_object(writer);
}

static bool list_processes(const struct requests *requests, const struct reply *reply,
                           bool short_form)
{
    struct str out;
    struct listing listing = {.writer = reply_begin(reply, &out, "psResponse"),
                              .short_form = short_form};
    json_begin_array(&listing.writer, "processes");
    process_each(requests->processes, write_process, &listing);
    json_end_array(&listing.writer);
    return reply_end_if_fits(reply, &listing.writer);
}

void request_ps(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_ps request;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_ps_schema, &request);
    if (doc != NULL && !list_processes(requests, reply, false) &&
        !list_processes(requests, reply, true)) {
        reply_refuse(reply, "busy", VIEW("too many processes for one answer"));
    }
}
