#include "common/base/log.h"
#include "common/base/utf8.h"
#include "sandbox-service/agent/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNAL_NAME_SIZE = 16 };

/* From the start of a command to its answer. */
struct exec {
    struct reply reply;
    bool base64;
};

/* What one start needs besides the request itself; all owned. */
struct preparation {
    struct user user;
    struct environment env;
    char cwd[PATH_SIZE];
    char **argv;
};

static void free_preparation(struct preparation *preparation)
{
    environment_free(&preparation->env);
    for (char **item = preparation->argv; item != NULL && *item != NULL; item++) {
        free(*item);
    }
    free(preparation->argv);
}

static bool make_argv(struct preparation *out, const struct agent_exec *exec, struct err *err)
{
    size_t count = exec->args.count + 1;
    out->argv = calloc(count + 1, sizeof *out->argv);
    for (size_t i = 0; out->argv != NULL && i < count; i++) {
        struct view arg = i == 0 ? exec->cmd : exec->args.items[i - 1];
        out->argv[i] = strndup(arg.len == 0 ? "" : arg.ptr, arg.len);
        if (out->argv[i] == NULL) {
            return err_set(err, ERR_INTERNAL, "exec: out of memory");
        }
    }
    return out->argv != NULL || err_set(err, ERR_INTERNAL, "exec: out of memory");
}

static bool prepare(const struct settings *settings, const struct agent_exec *exec,
                    struct preparation *out, struct err *err)
{
    const char *work_dir = settings_work_dir(settings);
    struct view cwd = exec->cwd.len == 0 ? view_of(work_dir) : exec->cwd;
    return env_size_check(&exec->env, err) &&
           settings_user(settings, exec->user, &out->user, err) &&
           path_resolve(cwd, work_dir, out->user.home, out->cwd, err) &&
           settings_environment(settings, &out->user, &exec->env, &out->env, err) &&
           make_argv(out, exec, err);
}

static void write_signal(struct json_writer *writer, int number)
{
    char name[SIGNAL_NAME_SIZE];
    const char *abbreviation = number == 0 ? NULL : sigabbrev_np(number);
    if (number == 0) {
        json_null(writer, "signal");
        return;
    }
    if (abbreviation == NULL) {
        (void)snprintf(name, sizeof name, "SIG%d", number);
    } else {
        (void)snprintf(name, sizeof name, "SIG%s", abbreviation);
    }
    json_string(writer, "signal", view_of(name));
}

static void write_output(struct json_writer *writer, const char *name, struct view output,
                         bool base64)
{
    if (base64) {
        json_base64(writer, name, output);
    } else {
        json_string(writer, name, output);
    }
}

static bool send_result(const struct exec *exec, const struct process_result *result)
{
    struct str out;
    struct json_writer writer = reply_begin(&exec->reply, &out, "execResponse");
    write_output(&writer, "stdout", result->output[PROCESS_STDOUT], exec->base64);
    write_output(&writer, "stderr", result->output[PROCESS_STDERR], exec->base64);
    if (exec->base64) {
        json_string(&writer, "outputEncoding", VIEW("base64"));
    }
    if (result->exit_code < 0) {
        json_null(&writer, "exitCode");
    } else {
        json_int(&writer, "exitCode", result->exit_code);
    }
    write_signal(&writer, result->signal_number);
    json_string(&writer, "reason", view_of(result->reason));
    json_int(&writer, "durationMs", result->duration_ms);
    json_bool(&writer, "truncated", result->truncated);
    if (result->output_open) {
        json_bool(&writer, "outputOpen", true);
    }
    return reply_end_if_fits(&exec->reply, &writer);
}

/* A character that was cut in two is left out whole. */
static struct view without_cut_end(struct view text)
{
    for (size_t back = 1; back <= 3 && back <= text.len; back++) {
        bool is_cut = false;
        struct view tail = view_from(text, text.len - back);
        if (utf8_prefix(tail, &is_cut) == 0 && is_cut) {
            text.len -= back;
            break;
        }
    }
    return text;
}

/* Escapes may make an answer too long for one message: then the longer output loses half. */
static void shorten(struct process_result *result, bool base64)
{
    struct view *first = &result->output[PROCESS_STDOUT];
    struct view *second = &result->output[PROCESS_STDERR];
    struct view *longer = first->len >= second->len ? first : second;
    longer->len /= 2;
    result->truncated = true;
    *longer = base64 ? *longer : without_cut_end(*longer);
}

static void on_done(const struct process_result *result, void *arg)
{
    struct exec *exec = arg;
    struct process_result fitting = *result;
    for (int i = 0; i < PROCESS_OUTPUTS && result->truncated && !exec->base64; i++) {
        fitting.output[i] = without_cut_end(fitting.output[i]);
    }
    while (!send_result(exec, &fitting)) {
        if (fitting.output[PROCESS_STDOUT].len + fitting.output[PROCESS_STDERR].len == 0) {
            log_error("exec.reply_lost"); /* no memory for even that */
            break;
        }
        shorten(&fitting, exec->base64);
    }
    free(exec);
}

static void send_background(const struct reply *reply, pid_t pid)
{
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "execResponse");
    json_int(&writer, "pid", pid);
    json_bool(&writer, "background", true);
    json_null(&writer, "exitCode");
    json_string(&writer, "stdout", VIEW(""));
    json_string(&writer, "stderr", VIEW(""));
    reply_end(reply, &writer);
}

/* In the background nothing ends a command unless that was asked for. */
static int64_t timeout_of(const struct agent_exec *request)
{
    int64_t fallback = request->background ? 0 : EXEC_TIMEOUT_MS_DEFAULT;
    return request->has_timeout ? request->timeout_ms : fallback;
}

static bool start(const struct requests *requests, const struct agent_exec *request,
                  const struct preparation *preparation, struct exec *exec, pid_t *pid,
                  struct err *err)
{
    const struct process_start start = {
        .spawn = {.argv = preparation->argv,
                  .envp = preparation->env.items,
                  .cwd = preparation->cwd,
                  .cwd_optional = request->cwd.len == 0,
                  .user = &preparation->user,
                  .locked = requests->settings->locked},
        .stdin_text = request->stdin_text,
        .has_stdin = request->has_stdin,
        .timeout_ms = timeout_of(request),
        .output_max = (size_t)request->max_output_bytes,
        .strict_eof = request->strict_eof,
        .done = exec == NULL ? NULL : on_done,
        .arg = exec,
    };
    return process_begin(requests->processes, &start, pid, err);
}

static struct exec *new_exec(const struct reply *reply, const struct agent_exec *request,
                             struct err *err)
{
    struct exec *exec = calloc(1, sizeof *exec);
    if (exec == NULL) {
        err_set(err, ERR_INTERNAL, "exec: out of memory");
        return NULL;
    }
    exec->reply = *reply;
    exec->base64 = view_equal(request->output_encoding, VIEW("base64"));
    return exec;
}

static bool start_in_background(const struct requests *requests, const struct reply *reply,
                                const struct agent_exec *request,
                                const struct preparation *preparation, struct err *err)
{
    pid_t pid = 0;
    if (!start(requests, request, preparation, NULL, &pid, err)) {
        return false;
    }
    send_background(reply, pid);
    return true;
}

static bool start_and_wait(const struct requests *requests, const struct reply *reply,
                           const struct agent_exec *request, const struct preparation *preparation,
                           struct err *err)
{
    pid_t pid = 0;
    struct exec *exec = new_exec(reply, request, err);
    if (exec == NULL || !start(requests, request, preparation, exec, &pid, err)) {
        free(exec);
        return false;
    }
    return true;
}

/* What is left to do when the request is well-formed. */
static bool run(const struct requests *requests, const struct reply *reply,
                const struct agent_exec *request, struct err *err)
{
    struct preparation preparation = {.argv = NULL};
    bool succeeded =
        prepare(requests->settings, request, &preparation, err) &&
        (request->background ? start_in_background(requests, reply, request, &preparation, err)
                             : start_and_wait(requests, reply, request, &preparation, err));
    free_preparation(&preparation);
    return succeeded;
}

void exec_warm_up(const struct requests *requests)
{
    const struct agent_exec nothing = {.cmd = VIEW(AGENT_DIR "/nothing"), .max_output_bytes = 1};
    struct preparation preparation = {.argv = NULL};
    struct err err;
    pid_t pid = 0;
    if (prepare(requests->settings, &nothing, &preparation, &err) &&
        start(requests, &nothing, &preparation, NULL, &pid, &err)) {
        log_warn("exec.warm_up_ran", LOG_INT("pid", pid));
    }
    free_preparation(&preparation);
}

void request_exec(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_exec request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_exec_schema, &request);
    if (doc != NULL && !run(requests, reply, &request, &err)) {
        reply_error(reply, &err);
    }
}
