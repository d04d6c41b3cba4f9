#include "sandbox-service/agent/session_line.h"

#include "common/base/clock.h"
#include "common/base/encode.h"
#include "common/base/secret.h"
#include "sandbox-service/agent/exit_text.h"

#include <stdlib.h>
#include <string.h>

static void release(struct line *line, struct str *text)
{
    *line->memory -= text->len;
    str_free(text);
}

void line_free(struct line *line)
{
    release(line, &line->script);
    release(line, &line->texts[PROCESS_STDOUT]);
    release(line, &line->texts[PROCESS_STDERR]);
    free(line->answer);
    free(line);
}

void line_free_script(struct line *line)
{
    release(line, &line->script);
}

static void cancel_once(struct once *once, const struct err *err)
{
    struct reply reply;
    while (once != NULL && once_next_waiter(once, &reply)) {
        reply_error(&reply, err);
    }
    once_cancel(once);
}

void line_fail(struct line *line, const struct err *err)
{
    reply_error(&line->reply, err);
    cancel_once(line->answer != NULL ? line->answer->once : line->once, err);
    if (line->stream != NULL) {
        stream_close(line->stream);
    }
    line_free(line);
}

static void give_answer(struct line *line, const struct process_exit *exit)
{
    struct process_result result = {.truncated = line->truncated, .exit = *exit};
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        result.output[i] = str_view(&line->texts[i]);
    }
    exec_answer_give(&result, TAKE(line->answer));
}

void line_end(struct line *line, pid_t shell, const struct process_exit *exit)
{
    struct process_exit told = *exit;
    told.reason = line->timed_out ? "timeout" : exit->reason;
    told.duration_ms = (clock_monotonic_us() - line->started_us) / 1000;
    if (line->answer != NULL) {
        give_answer(line, &told);
    } else if (line->stream != NULL) {
        exit_send(line->stream, shell, &told);
        stream_close(line->stream);
    }
    if (line->once != NULL) {
        exec_answer_end_once(line->once);
    }
    line_free(line);
}

static void keep(struct line *line, struct view bytes)
{
    struct str *text = &line->texts[line->emitting];
    size_t before = text->len;
    size_t room = line->output_max - before;
    size_t memory = SESSIONS_MEMORY_MAX - *line->memory;
    size_t kept = bytes.len < room ? bytes.len : room;
    kept = kept < memory ? kept : memory;
    str_append(text, bytes.ptr, kept);
    kept = text->len - before;
    *line->memory += kept;
    line->truncated = line->truncated || kept < bytes.len;
}

static void emit(struct view bytes, void *arg)
{
    struct line *line = arg;
    if (line->stream != NULL) {
        stream_send(line->stream, line->emitting == PROCESS_STDOUT ? STREAM_STDOUT : STREAM_STDERR,
                    bytes);
    } else if (line->answer != NULL) {
        keep(line, bytes);
    }
}

size_t line_room(const struct line *line)
{
    if (line->stream == NULL) {
        return SPOOL_READ_MAX;
    }
    /* What is kept back because it may be a mark comes on top. */
    size_t room = stream_room(line->stream);
    return room <= SESSION_MARK_MAX ? 0 : room - SESSION_MARK_MAX;
}

bool line_is_done(const struct line *line)
{
    return line->marks[PROCESS_STDOUT].found && line->marks[PROCESS_STDERR].found;
}

size_t line_take(struct line *line, unsigned kind, struct view bytes)
{
    if (line->marks[kind].found) {
        return bytes.len;
    }
    line->emitting = (enum process_output)kind;
    return session_mark_scan(&line->marks[kind], bytes, emit, line);
}

void line_tell_started(struct line *line, pid_t shell, bool restarted)
{
    struct str out;
    char started[CLOCK_ISO_SIZE];
    line->started_us = clock_monotonic_us();
    if (line->answer != NULL) {
        line->answer->session_restarted = restarted;
        return;
    }
    if (line->stream == NULL) {
        return;
    }
    struct json_writer writer = reply_begin(&line->reply, &out, "execResponse");
    clock_format_iso(clock_wall_ms(), started);
    json_int(&writer, "streamId", stream_id(line->stream));
    json_int(&writer, "pid", shell);
    json_begin_object(&writer, "offsets");
    json_int(&writer, "stdout", 0);
    json_int(&writer, "stderr", 0);
    json_end_object(&writer);
    json_string(&writer, "startedAt", view_of(started));
    if (restarted) {
        json_bool(&writer, "sessionRestarted", true);
    }
    reply_end(&line->reply, &writer);
}

static bool fill(struct line *line, const struct agent_exec *request, struct err *err)
{
    char nonce[SESSION_NONCE_SIZE];
    uint8_t random[(SESSION_NONCE_SIZE - 1) / 2];
    if (!secret_random(random, sizeof random, err)) {
        return false;
    }
    encode_hex(random, sizeof random, nonce);
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        memcpy(line->marks[i].nonce, nonce, sizeof nonce);
        line->texts[i] = STR_INIT(line->output_max);
    }
    session_script_line(&line->script, request, nonce);
    *line->memory += line->script.len;
    if (*line->memory > SESSIONS_MEMORY_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too much waits in sessions");
    }
    return str_check(&line->script, "line of a session", err);
}

struct line *line_new(size_t *memory, const struct reply *reply, const struct agent_exec *request,
                      struct err *err)
{
    struct line *line = calloc(1, sizeof *line);
    if (line == NULL) {
        err_set(err, ERR_INTERNAL, "session: out of memory");
        return NULL;
    }
    line->memory = memory;
    line->reply = *reply;
    line->script = STR_INIT(SESSION_SCRIPT_MAX);
    line->output_max = (size_t)request->max_output_bytes;
    line->timeout_ms = request->has_timeout ? request->timeout_ms : EXEC_TIMEOUT_MS_DEFAULT;
    if (!fill(line, request, err)) {
        line_free(line);
        return NULL;
    }
    return line;
}
