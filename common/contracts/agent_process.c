#include "common/contracts/agent_process.h"

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], false}
/* Every message has these two; the envelope's scan has bounded them already. */
#define ENVELOPE(type_) JSON_STRING(type_, id, "id"), JSON_STRING(type_, type, "type")
#define NAMED(type_)                                                                               \
    JSON_INT(type_, process.pid, "pid", JSON_PRESENT(type_, process.has_pid), .min = 1,            \
             .max = INT32_MAX),                                                                    \
        JSON_STRING(type_, process.tag, "tag", .check = agent_tag_check)

static const char *const encodings[] = {"utf8", "base64", NULL};

bool agent_named_check(const struct agent_named *named, struct err *err)
{
    return named->has_pid != (named->tag.len > 0) ||
           err_set_reason(err, ERR_INVALID, "invalid_request",
                          "either pid or tag must name the process");
}

#define OFFSET(member, name)                                                                       \
    JSON_INT(struct agent_attach, member, name, JSON_PRESENT(struct agent_attach, has_##member),   \
             .min = -1, .max = -2)

FIELDS attach_fields[] = {
    ENVELOPE(struct agent_attach),
    NAMED(struct agent_attach),
    JSON_INT(struct agent_attach, stream_id, "streamId", .required = true, .min = 1,
             .max = INT32_MAX),
    OFFSET(offset, "offset"),
    OFFSET(stdout_offset, "stdoutOffset"),
    OFFSET(stderr_offset, "stderrOffset"),
};
SCHEMA(agent_attach_schema, attach_fields);

FIELDS input_fields[] = {
    ENVELOPE(struct agent_input),
    NAMED(struct agent_input),
    JSON_STRING(struct agent_input, data, "data", .allow_nul = true),
    JSON_STRING(struct agent_input, encoding, "encoding", .one_of = encodings),
    JSON_BOOL(struct agent_input, eof, "eof"),
};
SCHEMA(agent_input_schema, input_fields);

FIELDS close_stdin_fields[] = {
    ENVELOPE(struct agent_close_stdin),
    NAMED(struct agent_close_stdin),
};
SCHEMA(agent_close_stdin_schema, close_stdin_fields);

FIELDS resize_fields[] = {
    ENVELOPE(struct agent_resize),
    NAMED(struct agent_resize),
    JSON_INT(struct agent_resize, cols, "cols", .required = true, .min = 1, .max = TERMINAL_MAX),
    JSON_INT(struct agent_resize, rows, "rows", .required = true, .min = 1, .max = TERMINAL_MAX),
};
SCHEMA(agent_resize_schema, resize_fields);

FIELDS signal_fields[] = {
    ENVELOPE(struct agent_signal),
    NAMED(struct agent_signal),
    JSON_STRING(struct agent_signal, name, "signal", .required = true, .not_empty = true,
                .max_len = SIGNAL_NAME_MAX),
    JSON_BOOL(struct agent_signal, group, "group", .fallback = 1),
};
SCHEMA(agent_signal_schema, signal_fields);

FIELDS signal_number_fields[] = {
    ENVELOPE(struct agent_signal),
    NAMED(struct agent_signal),
    JSON_INT(struct agent_signal, number, "signal", .required = true, .min = 1, .max = 64),
    JSON_BOOL(struct agent_signal, group, "group", .fallback = 1),
};
SCHEMA(agent_signal_number_schema, signal_number_fields);

FIELDS ps_fields[] = {
    ENVELOPE(struct agent_ps),
};
SCHEMA(agent_ps_schema, ps_fields);

FIELDS lookup_fields[] = {
    ENVELOPE(struct agent_lookup),
    JSON_STRING(struct agent_lookup, once, "once", .required = true, .not_empty = true,
                .max_len = ONCE_MAX),
};
SCHEMA(agent_lookup_schema, lookup_fields);

FIELDS close_session_fields[] = {
    ENVELOPE(struct agent_close_session),
    JSON_STRING(struct agent_close_session, session, "session", .required = true,
                .check = agent_tag_check),
};
SCHEMA(agent_close_session_schema, close_session_fields);
