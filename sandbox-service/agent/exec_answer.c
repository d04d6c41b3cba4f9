#include "sandbox-service/agent/exec_answer.h"

#include "common/base/log.h"
#include "common/base/utf8.h"
#include "sandbox-service/agent/exit_text.h"

#include <stdlib.h>

static void write_output(struct json_writer *writer, const char *name, struct view output,
                         bool base64)
{
    if (base64) {
        json_base64(writer, name, output);
    } else {
        json_string(writer, name, output);
    }
}

static void write_measured(struct json_writer *writer, const struct process_exit *exit)
{
    if (!exit->is_measured) {
        return;
    }
    if (exit->cpu_ms < 0) {
        json_null(writer, "cpuMs");
    } else {
        json_int(writer, "cpuMs", exit->cpu_ms);
    }
    json_int(writer, "peakMemoryBytes", exit->peak_memory_bytes);
}

static void write_result(const struct exec_answer *answer, struct json_writer *writer,
                         const struct process_result *result)
{
    write_output(writer, "stdout", result->output[PROCESS_STDOUT], answer->base64);
    write_output(writer, "stderr", result->output[PROCESS_STDERR], answer->base64);
    if (answer->base64) {
        json_string(writer, "outputEncoding", VIEW("base64"));
    }
    exit_write(writer, &result->exit);
    write_measured(writer, &result->exit);
    json_bool(writer, "truncated", result->truncated);
    if (result->exit.output_open) {
        json_bool(writer, "outputOpen", true);
    }
    if (answer->session_restarted) {
        json_bool(writer, "sessionRestarted", true);
    }
}

static bool send_result(const struct exec_answer *answer, const struct reply *reply,
                        const struct process_result *result)
{
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "execResponse");
    write_result(answer, &writer, result);
    return reply_end_if_fits(reply, &writer);
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

/* For those who repeated the request, and those who will. */
static void give_to_repeats(const struct exec_answer *answer, const struct process_result *result)
{
    struct reply reply;
    AUTO(str_free) struct str members = STR_INIT(ONCE_ANSWER_MAX);
    struct json_writer writer = json_writer_on(&members);
    while (once_next_waiter(answer->once, &reply)) {
        if (!send_result(answer, &reply, result)) {
            log_error("exec.reply_lost");
        }
    }
    json_begin_object(&writer, NULL);
    write_result(answer, &writer, result);
    if (!members.failed) {
        once_keep_answer(answer->once, view_from(str_view(&members), 1)); /* without the brace */
    }
    once_end(answer->once);
}

void exec_answer_give(const struct process_result *result, void *arg)
{
    struct exec_answer *answer = arg;
    struct process_result fitting = *result;
    for (int i = 0; i < PROCESS_OUTPUTS && result->truncated && !answer->base64; i++) {
        fitting.output[i] = without_cut_end(fitting.output[i]);
    }
    while (!send_result(answer, &answer->reply, &fitting)) {
        if (fitting.output[PROCESS_STDOUT].len + fitting.output[PROCESS_STDERR].len == 0) {
            log_error("exec.reply_lost"); /* no memory for even that */
            break;
        }
        shorten(&fitting, answer->base64);
    }
    if (answer->once != NULL) {
        give_to_repeats(answer, &fitting);
    }
    free(answer);
}

void exec_answer_repeat(const struct reply *reply, struct view members)
{
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "execResponse");
    str_append_char(&out, ',');
    str_append_view(&out, members);
    reply_end(reply, &writer);
}

struct exec_answer *exec_answer_new(const struct reply *reply, const struct agent_exec *request,
                                    struct once *once, struct err *err)
{
    struct exec_answer *answer = calloc(1, sizeof *answer);
    if (answer == NULL) {
        err_set(err, ERR_INTERNAL, "exec: out of memory");
        return NULL;
    }
    answer->reply = *reply;
    answer->base64 = view_equal(request->output_encoding, VIEW("base64"));
    answer->once = once;
    return answer;
}

void exec_answer_refuse_repeat(const struct reply *reply)
{
    reply_refuse(reply, "answer_not_kept",
                 VIEW("This was run before, and its answer is not kept any more."));
}

void exec_answer_end_once(const struct process_result *result, void *arg)
{
    (void)result;
    struct once *once = arg;
    struct reply reply;
    while (once_next_waiter(once, &reply)) {
        exec_answer_refuse_repeat(&reply);
    }
    once_end(once);
}
