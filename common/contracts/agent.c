#include "common/contracts/agent.h"

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], false}
/* Every message has these two; the envelope's scan has bounded them already. */
#define ENVELOPE(type_) JSON_STRING(type_, id, "id"), JSON_STRING(type_, type, "type")

static const char *const encodings[] = {"utf8", "base64", NULL};

FIELDS hello_fields[] = {
    JSON_STRING(struct agent_hello, type, "type", .required = true),
    JSON_INT(struct agent_hello, protocol, "protocol", .required = true, .min = 1, .max = 1000),
    JSON_STRING(struct agent_hello, version, "version", .required = true, .max_len = 64),
    JSON_BOOL(struct agent_hello, small_windows, "smallWindows"),
};
SCHEMA(agent_hello_schema, hello_fields);

FIELDS running_fields[] = {
    JSON_STRING(struct agent_running, type, "type", .required = true),
    JSON_INT(struct agent_running, count, "count", .required = true, .min = 0, .max = 1000000),
};
const struct json_schema agent_running_schema = {running_fields, 2, false};

FIELDS start_fields[] = {
    JSON_STRING(struct agent_start, command, "command", .required = true, .not_empty = true,
                .max_len = AGENT_START_COMMAND_MAX),
    JSON_STRING(struct agent_start, probe, "probe", .max_len = AGENT_START_COMMAND_MAX),
    JSON_INT(struct agent_start, port, "port", .min = 0, .max = UINT16_MAX),
    JSON_INT(struct agent_start, timeout_ms, "timeoutMs", .min = 100, .max = AGENT_START_MS_MAX,
             .fallback = AGENT_START_MS_DEFAULT),
};
SCHEMA(agent_start_schema, start_fields);

bool agent_start_check(const struct agent_start *start, struct err *err)
{
    return start->port == 0 || start->probe.len == 0 ||
           err_set_reason(err, ERR_INVALID, "validation_failed",
                          "start: either port or probe, not both");
}

FIELDS configure_fields[] = {
    ENVELOPE(struct agent_configure),
    JSON_STRING(struct agent_configure, token, "token", .required = true,
                .max_len = AGENT_TOKEN_MAX),
    JSON_PAIRS(struct agent_configure, env, "env"),
    JSON_PAIRS(struct agent_configure, files, "files", .check = secret_file_name_check),
    JSON_STRING(struct agent_configure, profile, "profile", .required = true),
    JSON_STRING(struct agent_configure, work_dir, "workDir"),
    JSON_BOOL(struct agent_configure, work_dir_chosen, "workDirChosen",
              JSON_PRESENT(struct agent_configure, work_dir_chosen)),
    JSON_STRING(struct agent_configure, user, "user"),
    JSON_BOOL(struct agent_configure, user_chosen, "userChosen",
              JSON_PRESENT(struct agent_configure, user_chosen)),
    JSON_OBJECT(struct agent_configure, start, "start"),
};
SCHEMA(agent_configure_schema, configure_fields);

bool agent_tag_check(struct view tag, const char **problem)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    *problem = "must be 1 to 64 of A-Z a-z 0-9 . _ -";
    for (size_t i = 0; i < tag.len; i++) {
        if (memchr(allowed, tag.ptr[i], sizeof allowed - 1) == NULL) {
            return false;
        }
    }
    return tag.len >= 1 && tag.len <= NAME_TAG_MAX;
}

FIELDS terminal_fields[] = {
    JSON_INT(struct agent_terminal, cols, "cols", .required = true, .min = 1, .max = TERMINAL_MAX),
    JSON_INT(struct agent_terminal, rows, "rows", .required = true, .min = 1, .max = TERMINAL_MAX),
};

FIELDS exec_fields[] = {
    ENVELOPE(struct agent_exec),
    JSON_STRING(struct agent_exec, cmd, "cmd", .required = true, .not_empty = true,
                .max_len = EXEC_ARG_MAX - 1),
    JSON_STRINGS(struct agent_exec, args, "args", .max_len = EXEC_ARGS_MAX,
                 .item_max = EXEC_ARG_MAX - 1),
    JSON_BOOL(struct agent_exec, background, "background"),
    JSON_STRING(struct agent_exec, cwd, "cwd", .max_len = PATH_BYTES_MAX),
    JSON_PAIRS(struct agent_exec, env, "env", .max_len = ENV_PAIRS_MAX, .item_max = ENV_BYTES_MAX,
               .check = env_name_check),
    JSON_STRING(struct agent_exec, user, "user", .max_len = USER_NAME_MAX),
    JSON_INT(struct agent_exec, timeout_ms, "timeoutMs",
             JSON_PRESENT(struct agent_exec, has_timeout), .min = 0, .max = EXEC_TIMEOUT_MS_MAX),
    JSON_STRING(struct agent_exec, stdin_text, "stdin", .allow_nul = true,
                JSON_PRESENT(struct agent_exec, has_stdin)),
    JSON_INT(struct agent_exec, max_output_bytes, "maxOutputBytes", .min = 1,
             .max = EXEC_OUTPUT_MAX, .fallback = EXEC_OUTPUT_DEFAULT),
    JSON_BOOL(struct agent_exec, strict_eof, "strictEof"),
    JSON_STRING(struct agent_exec, output_encoding, "outputEncoding", .one_of = encodings),
    JSON_BOOL(struct agent_exec, stream, "stream", JSON_PRESENT(struct agent_exec, has_stream)),
    JSON_INT(struct agent_exec, stream_id, "streamId",
             JSON_PRESENT(struct agent_exec, has_stream_id), .min = 1, .max = INT32_MAX),
    JSON_STRUCT(struct agent_exec, pty, "pty", terminal_fields,
                JSON_PRESENT(struct agent_exec, has_pty)),
    JSON_STRING(struct agent_exec, tag, "tag", .check = agent_tag_check),
    JSON_STRING(struct agent_exec, session, "session", .check = agent_tag_check),
    JSON_INT(struct agent_exec, spool_bytes, "spoolBytes",
             JSON_PRESENT(struct agent_exec, has_spool_bytes), .min = SPOOL_MIN, .max = SPOOL_MAX,
             .fallback = SPOOL_DEFAULT),
    JSON_BOOL(struct agent_exec, stdin_open, "stdinOpen",
              JSON_PRESENT(struct agent_exec, has_stdin_open)),
    JSON_BOOL(struct agent_exec, measure, "measure", JSON_PRESENT(struct agent_exec, has_measure)),
    JSON_BOOL(struct agent_exec, alone, "alone", JSON_PRESENT(struct agent_exec, has_alone)),
    JSON_STRING(struct agent_exec, once, "once", .not_empty = true, .max_len = ONCE_MAX),
};
SCHEMA(agent_exec_schema, exec_fields);

FIELDS write_fields[] = {
    ENVELOPE(struct agent_write),
    JSON_STRING(struct agent_write, path, "path", .required = true, .not_empty = true,
                .max_len = PATH_BYTES_MAX),
    JSON_STRING(struct agent_write, content, "content", .required = true, .allow_nul = true),
    JSON_STRING(struct agent_write, encoding, "encoding", .one_of = encodings),
    JSON_STRING(struct agent_write, user, "user", .max_len = USER_NAME_MAX),
};
SCHEMA(agent_write_schema, write_fields);

FIELDS read_fields[] = {
    ENVELOPE(struct agent_read),
    JSON_STRING(struct agent_read, path, "path", .required = true, .not_empty = true,
                .max_len = PATH_BYTES_MAX),
    JSON_STRING(struct agent_read, encoding, "encoding", .one_of = encodings),
    JSON_STRING(struct agent_read, user, "user", .max_len = USER_NAME_MAX),
};
SCHEMA(agent_read_schema, read_fields);
