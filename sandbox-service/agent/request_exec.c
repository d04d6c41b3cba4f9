#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/agent/attach.h"
#include "sandbox-service/agent/exec_answer.h"
#include "sandbox-service/agent/exec_prepare.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/session.h"

#include <stdlib.h>

enum { BACKGROUND_TEXT_MAX = 1024 };

/* One exec, from its message to the start of the command. */
struct call {
    const struct requests *requests;
    const struct reply *reply;
    const struct agent_exec *request;
    struct once *once; /* borrowed; NULL: repeats are not known */
};

static struct process *start(const struct call *call, process_done_fn *done, void *arg,
                             struct err *err)
{
    struct preparation preparation = {.argv = NULL};
    struct process *process = NULL;
    const struct settings *settings = call->requests->settings;
    if (preparation_make(&preparation, settings, call->request, err)) {
        struct process_start start = preparation_start(&preparation, settings, call->request);
        start.done = done;
        start.arg = arg;
        start.output_max = done == exec_answer_give ? start.output_max : 0;
        process = process_begin(call->requests->processes, &start, err);
    }
    preparation_free(&preparation);
    if (process != NULL && call->once != NULL) {
        once_set_process(call->once, process);
    }
    return process;
}

static bool start_in_background(const struct call *call, struct err *err)
{
    struct process *process =
        start(call, call->once == NULL ? NULL : exec_answer_end_once, call->once, err);
    if (process == NULL) {
        return false;
    }
    AUTO(str_free) struct str members = STR_INIT(BACKGROUND_TEXT_MAX);
    struct view tag = process_about(process)->tag;
    struct json_writer writer = json_writer_on(&members);
    json_int(&writer, "pid", process_pid(process));
    if (tag.len > 0) {
        json_string(&writer, "tag", tag);
    }
    json_bool(&writer, "background", true);
    json_null(&writer, "exitCode");
    json_string(&writer, "stdout", VIEW(""));
    json_string(&writer, "stderr", VIEW(""));
    if (call->once != NULL) {
        once_keep_answer(call->once, str_view(&members));
    }
    exec_answer_repeat(call->reply, str_view(&members));
    return true;
}

static bool start_and_wait(const struct call *call, struct err *err)
{
    struct exec_answer *answer = exec_answer_new(call->reply, call->request, call->once, err);
    if (answer == NULL || start(call, exec_answer_give, answer, err) == NULL) {
        free(answer);
        return false;
    }
    return true;
}

/* Joins the stream to it from its first byte on. */
static void join(const struct call *call, struct attachment *attachment, struct process *process)
{
    struct str out;
    char started[CLOCK_ISO_SIZE];
    attach_join(attachment, process, attach_beginning);
    struct json_writer writer = reply_begin(call->reply, &out, "execResponse");
    clock_format_iso(process_started_wall_ms(process), started);
    attach_write(attachment, &writer);
    json_string(&writer, "startedAt", view_of(started));
    reply_end(call->reply, &writer);
    attach_go(attachment);
}

static bool start_and_attach(const struct call *call, struct err *err)
{
    struct attachment *attachment =
        attach_open(call->requests->streams, call->reply, (uint32_t)call->request->stream_id, err);
    if (attachment == NULL) {
        return false;
    }
    struct process *process =
        start(call, call->once == NULL ? NULL : exec_answer_end_once, call->once, err);
    if (process == NULL) {
        attach_cancel(attachment);
        return false;
    }
    join(call, attachment, process);
    return true;
}

static bool start_as_asked(const struct call *call, struct err *err)
{
    if (call->request->session.len > 0) {
        return session_run(call->requests->sessions, call->reply, call->request, call->once, err);
    }
    if (call->request->stream) {
        return start_and_attach(call, err);
    }
    return call->request->background ? start_in_background(call, err) : start_and_wait(call, err);
}

/* What was begun before is not begun again. */
static bool repeat(const struct call *call, struct err *err)
{
    struct view members = once_answer(call->once);
    struct process *process = once_process(call->once, call->requests->processes);
    if (call->request->stream && process != NULL) {
        struct attachment *attachment = attach_open(call->requests->streams, call->reply,
                                                    (uint32_t)call->request->stream_id, err);
        if (attachment == NULL) {
            return false;
        }
        join(call, attachment, process);
    } else if (members.len > 0) {
        exec_answer_repeat(call->reply, members);
    } else if (once_is_running(call->once)) {
        return once_wait(call->once, call->reply, err);
    } else {
        exec_answer_refuse_repeat(call->reply);
    }
    return true;
}

/* The same request may come back by another way: whether its answer is a stream, and which, is no
 * part of what it means. */
static bool digest_of(const struct call *call, uint64_t *digest, struct err *err)
{
    AUTO(str_free) struct str meaning = STR_INIT(AGENT_MESSAGE_MAX);
    struct agent_exec request = *call->request;
    struct json_writer writer = json_writer_on(&meaning);
    request.id = request.once = (struct view){0};
    request.has_stream = request.has_stream_id = false;
    json_struct(&writer, &agent_exec_schema, &request);
    *digest = once_digest(call->requests->onces, str_view(&meaning));
    return str_check(&meaning, "exec", err);
}

static bool run_once(struct call *call, struct err *err)
{
    struct onces *onces = call->requests->onces;
    uint64_t digest = 0;
    if (!digest_of(call, &digest, err)) {
        return false;
    }
    call->once = once_find(onces, call->request->once);
    if (call->once != NULL) {
        return once_check(call->once, digest, err) && repeat(call, err);
    }
    call->once = once_begin(onces, call->request->once, digest, err);
    if (call->once == NULL) {
        return false;
    }
    if (!start_as_asked(call, err)) {
        once_cancel(call->once);
        return false;
    }
    return true;
}

/* What the fields by themselves do not show. */
static bool check(const struct agent_exec *request, struct err *err)
{
    if (request->stream && !request->has_stream_id) {
        return err_set_reason(err, ERR_INVALID, "invalid_request",
                              "streamId: is required with stream");
    }
    return request->session.len > 0 || request->cmd.len <= PATH_BYTES_MAX ||
           err_set_reason(err, ERR_INVALID, "invalid_request", "cmd: must be at most %d bytes long",
                          PATH_BYTES_MAX);
}

static bool run(struct call *call, struct err *err)
{
    if (!check(call->request, err)) {
        return false;
    }
    return call->request->once.len > 0 ? run_once(call, err) : start_as_asked(call, err);
}

void exec_warm_up(const struct requests *requests)
{
    const struct agent_exec nothing = {.cmd = VIEW(AGENT_DIR "/nothing"), .max_output_bytes = 1};
    const struct call call = {.requests = requests, .request = &nothing};
    struct err err;
    if (start(&call, NULL, NULL, &err) != NULL) {
        log_warn("exec.warm_up_ran");
    }
}

void request_exec(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_exec request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_exec_schema, &request);
    struct call call = {.requests = requests, .reply = reply, .request = &request};
    if (doc != NULL && !run(&call, &err)) {
        reply_error(reply, &err);
    }
}

void request_lookup(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_lookup request;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_lookup_schema, &request);
    if (doc == NULL) {
        return;
    }
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "lookupResponse");
    const struct once *once = once_find(requests->onces, request.once);
    const char *known = once != NULL && once_is_running(once) ? "running" : "finished";
    json_string(&writer, "state", view_of(once == NULL ? "unknown" : known));
    if (once != NULL && once_pid(once) != 0) {
        json_int(&writer, "pid", once_pid(once));
    }
    reply_end(reply, &writer);
}

void request_close_session(const struct requests *requests, const struct reply *reply,
                           struct view text)
{
    struct agent_close_session request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_close_session_schema, &request);
    if (doc == NULL) {
        return;
    }
    if (!session_close(requests->sessions, request.session, &err)) {
        reply_error(reply, &err);
        return;
    }
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "closeSessionResponse");
    json_string(&writer, "session", request.session);
    reply_end(reply, &writer);
}
