#include "gateway/native/execution_run.h"

#include "common/base/utf8.h"
#include "common/contracts/agent.h"
#include "gateway/native/execution.h"

static const struct json_field result_fields[] = {
    JSON_STRING(struct run_result, standard_output, "stdout", .allow_nul = true),
    JSON_STRING(struct run_result, standard_error, "stderr", .allow_nul = true),
    JSON_INT(struct run_result, exit_code, "exitCode",
             JSON_PRESENT(struct run_result, has_exit_code), .nullable = true),
    JSON_STRING(struct run_result, signal, "signal", .nullable = true),
    JSON_STRING(struct run_result, reason, "reason", .required = true),
    JSON_INT(struct run_result, duration_ms, "durationMs", .nullable = true),
    JSON_BOOL(struct run_result, truncated, "truncated"),
    JSON_INT(struct run_result, cpu_ms, "cpuMs", JSON_PRESENT(struct run_result, has_cpu),
             .nullable = true),
    JSON_INT(struct run_result, peak_memory_bytes, "peakMemoryBytes",
             JSON_PRESENT(struct run_result, has_peak), .nullable = true),
};
const struct json_schema run_result_schema = {
    result_fields, sizeof result_fields / sizeof result_fields[0], false};

void run_command_write(const struct execute_order *order, const struct run_command *command,
                       struct str *out)
{
    struct view words[LANGUAGE_WORDS_MAX];
    size_t count = language_command(command->words, &order->program, words);
    const struct agent_exec exec = {
        .type = VIEW("exec"),
        .cmd = words[0],
        .args = {words + 1, count - 1},
        .env = order->env,
        .timeout_ms = command->timeout_ms,
        .has_timeout = true,
        .stdin_text = command->input,
        .has_stdin = command->input.len > 0,
        .max_output_bytes = EXECUTION_OUTPUT_MAX,
        .measure = true,
        .has_measure = true,
        .alone = true,
        .has_alone = true,
    };
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &agent_exec_schema, &exec);
    json_end_object(&writer);
}

struct run_end run_end_of(const struct run_result *result)
{
    return (struct run_end){
        .reason = result->reason,
        .has_exit_code = result->has_exit_code,
        .exit_code = result->exit_code,
        .has_cpu = result->has_cpu,
        .cpu_ms = result->cpu_ms,
    };
}

static struct view cut(struct view text, size_t max)
{
    if (text.len > max) {
        text.len = utf8_prefix((struct view){text.ptr, max}, NULL);
    }
    return text;
}

static void write_known(struct json_writer *writer, const char *name, bool is_known, int64_t value)
{
    if (is_known) {
        json_int(writer, name, value);
    } else {
        json_null(writer, name);
    }
}

void run_result_write(const struct run_result *result, const struct run_result_room *room,
                      struct json_writer *writer)
{
    /* Half of the room at most is for errors, and what they leave of it for the output. */
    size_t left = room->written_max / 2;
    struct view error = json_string_cut(cut(result->standard_error, room->output_max), &left);
    left += room->written_max - room->written_max / 2;
    struct view output = json_string_cut(cut(result->standard_output, room->output_max), &left);
    bool is_cut = output.len + error.len < result->standard_output.len + result->standard_error.len;
    json_string(writer, "stdout", output);
    json_string(writer, "stderr", error);
    write_known(writer, "exitCode", result->has_exit_code, result->exit_code);
    json_view_or_null(writer, "signal", result->signal);
    json_string(writer, "reason", result->reason);
    json_int(writer, "durationMs", result->duration_ms);
    write_known(writer, "cpuMs", result->has_cpu, result->cpu_ms);
    write_known(writer, "peakMemoryBytes", result->has_peak, result->peak_memory_bytes);
    json_bool(writer, "truncated", result->truncated || is_cut);
}
