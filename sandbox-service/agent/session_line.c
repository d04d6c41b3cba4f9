#include "sandbox-service/agent/session_line.h"

#include "common/base/clock.h"
#include "common/base/encode.h"
#include "common/base/secret.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)SESSION_MARK_MAX < (int)SPOOL_ROOM_MIN, "there is room beside a mark");

static void release(struct line *line, struct str *text)
{
    *line->memory -= text->len;
    str_free(text);
}

/* Its process is found no more; those who are attached to it hear why. */
static void cancel(struct line *line, const char *code)
{
    attach_cancel(line->attachment);
    if (line->process != NULL) {
        process_fed_cancel(TAKE(line->process), code);
    }
}

void line_free(struct line *line)
{
    cancel(line, "session_closed");
    release(line, &line->script);
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
    cancel_once(line->once, err);
    cancel(line, err->reason);
    line_free(line);
}

void line_end(struct line *line, const struct process_exit *exit)
{
    struct process_exit told = *exit;
    told.reason = line->timed_out ? "timeout" : exit->reason;
    line->answer = NULL; /* its process gives it */
    process_fed_finish(TAKE(line->process), &told);
    line_free(line);
}

bool line_is_done(const struct line *line)
{
    return line->marks[PROCESS_STDOUT].found && line->marks[PROCESS_STDERR].found;
}

static void emit(struct view bytes, void *arg)
{
    struct line *line = arg;
    memcpy(line->out + line->out_len, bytes.ptr, bytes.len);
    line->out_len += bytes.len;
}

size_t line_take(struct line *line, enum process_output kind, struct view bytes)
{
    size_t room = 0;
    if (line->marks[kind].found) {
        return bytes.len;
    }
    line->out = process_fed_reserve(line->process, kind, &room);
    line->out_len = 0;
    if (line->out == NULL) {
        return 0;
    }
    /* What was kept back because it might be a mark comes on top. */
    room -= SESSION_MARK_MAX;
    bytes.len = bytes.len < room ? bytes.len : room;
    size_t taken = session_mark_scan(&line->marks[kind], bytes, emit, line);
    process_fed_commit(line->process, kind, line->out, line->out_len);
    return taken;
}

static void answer_started(struct line *line, bool restarted)
{
    struct str out;
    char started[CLOCK_ISO_SIZE];
    struct json_writer writer = reply_begin(&line->reply, &out, "execResponse");
    clock_format_iso(process_started_wall_ms(line->process), started);
    attach_write(line->attachment, &writer);
    json_string(&writer, "startedAt", view_of(started));
    if (restarted) {
        json_bool(&writer, "sessionRestarted", true);
    }
    reply_end(&line->reply, &writer);
    attach_go(line->attachment);
}

void line_tell_started(struct line *line, pid_t shell, bool restarted)
{
    process_fed_start(line->process, shell);
    if (line->once != NULL) {
        once_set_process(line->once, line->process);
    }
    if (line->answer != NULL) {
        line->answer->session_restarted = restarted;
    } else if (line->attachment != NULL) {
        answer_started(line, restarted);
    }
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
    line->timeout_ms = request->has_timeout ? request->timeout_ms : EXEC_TIMEOUT_MS_DEFAULT;
    if (!fill(line, request, err)) {
        line_free(line);
        return NULL;
    }
    return line;
}

static bool begin_process(struct line *line, const struct line_parts *parts, struct err *err)
{
    struct process_start start = *parts->start;
    if (line->answer != NULL) {
        start.done = exec_answer_give;
        start.arg = line->answer;
    } else if (line->once != NULL) {
        start.done = exec_answer_end_once;
        start.arg = line->once;
        start.output_max = 0;
    }
    line->process = process_fed_begin(parts->processes, &start, parts->feed, err);
    return line->process != NULL;
}

static bool open_answer(struct line *line, const struct line_parts *parts,
                        const struct agent_exec *request, struct err *err)
{
    line->answer = exec_answer_new(&line->reply, request, line->once, err);
    return line->answer != NULL && begin_process(line, parts, err);
}

static bool open_stream(struct line *line, const struct line_parts *parts,
                        const struct agent_exec *request, struct err *err)
{
    struct attachment *attachment =
        attach_open(parts->streams, &line->reply, (uint32_t)request->stream_id, err);
    if (attachment == NULL) {
        return false;
    }
    if (!begin_process(line, parts, err)) {
        attach_cancel(attachment);
        return false;
    }
    attach_join(attachment, line->process, attach_beginning);
    attach_hold(attachment, &line->attachment);
    return true;
}

bool line_open(struct line *line, const struct line_parts *parts, const struct agent_exec *request,
               struct once *once, struct err *err)
{
    line->once = once;
    if (!(request->stream ? open_stream(line, parts, request, err)
                          : open_answer(line, parts, request, err))) {
        return false;
    }
    if (once != NULL) {
        once_set_process(once, line->process);
    }
    return true;
}
