#include "gateway/native/agent_errors.h"

#include "common/json/read.h"

struct agent_error {
    struct view type;
    struct view error;
    struct view code;
};

static const struct json_field fields[] = {
    JSON_STRING(struct agent_error, type, "type", .required = true),
    JSON_STRING(struct agent_error, error, "error", .required = true, .allow_nul = true),
    JSON_STRING(struct agent_error, code, "code", .required = true, .max_len = ERR_REASON_SIZE - 1),
};

static const struct {
    const char *reason;
    enum err_code code;
} known[] = {
    {"command_not_found", ERR_INVALID},
    {"command_not_executable", ERR_INVALID},
    {"permission_denied", ERR_INVALID},
    {"cwd_not_found", ERR_INVALID},
    {"user_not_found", ERR_INVALID},
    {"argument_list_too_long", ERR_INVALID},
    {"invalid_request", ERR_INVALID},
    {"invalid_path", ERR_INVALID},
    {"file_not_found", ERR_NOT_FOUND},
    {"is_a_directory", ERR_INVALID},
    {"not_a_file", ERR_INVALID},
    {"file_too_large", ERR_INVALID},
    {"no_space", ERR_CONFLICT},
    {"root_denied", ERR_DENIED},
    {"group_denied", ERR_DENIED},
    {"too_many_processes", ERR_LIMIT},
    {"file_busy", ERR_CONFLICT},
    {"not_a_directory", ERR_INVALID},
    {"invalid_message", ERR_INVALID},
    {"not_configured", ERR_UNAVAILABLE},
    {"busy", ERR_LIMIT},
    {"unknown_type", ERR_INVALID},
    {"file_exists", ERR_CONFLICT},
    {"directory_not_empty", ERR_CONFLICT},
    {"file_changed", ERR_CONFLICT},
    {"size_mismatch", ERR_INVALID},
    {"too_many_folders", ERR_LIMIT},
    {"too_many_watches", ERR_LIMIT},
    {"too_many_connections", ERR_LIMIT},
    {"stream_in_use", ERR_CONFLICT},
    {"process_not_found", ERR_NOT_FOUND},
    {"process_ended", ERR_CONFLICT},
    {"stdin_closed", ERR_CONFLICT},
    {"no_terminal", ERR_CONFLICT},
    {"folder_too_large", ERR_INVALID},
    {"tag_in_use", ERR_CONFLICT},
    {"session_not_found", ERR_NOT_FOUND},
    {"session_closed", ERR_CONFLICT},
    {"session_user", ERR_CONFLICT},
    {"in_session", ERR_CONFLICT},
    {"cross_device", ERR_INVALID},
    {"invalid_arguments", ERR_INVALID},
    {"too_deep", ERR_LIMIT},
    {"answer_not_kept", ERR_CONFLICT},
    {"idempotency_key_reused", ERR_CONFLICT},
    {"connection_refused", ERR_UNAVAILABLE},
    {"connect_timeout", ERR_TIMEOUT},
    {"connect_failed", ERR_UNAVAILABLE},
    {"connection_reset", ERR_UNAVAILABLE},
    {"stream_closed", ERR_CONFLICT},
    {"watch_not_found", ERR_NOT_FOUND},
    {"read_failed", ERR_UNAVAILABLE},
    {"archive_unsafe", ERR_INVALID},
    {"archive_too_large", ERR_INVALID},
    {"archive_malformed", ERR_INVALID},
    {"invalid_regex", ERR_INVALID},
    {"validation_failed", ERR_INVALID},
    {"start_failed", ERR_CONFLICT},
    {"start_timeout", ERR_TIMEOUT},
};

void agent_error_make(struct view code, struct view message, struct err *err)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!view_equal(code, view_of(known[i].reason))) {
            continue;
        }
        if (message.len == 0) {
            message = VIEW("The sandbox could not go on with this.");
        }
        int len = message.len < ERR_MESSAGE_SIZE ? (int)message.len : ERR_MESSAGE_SIZE;
        err_set_reason(err, known[i].code, known[i].reason, "%.*s", len, message.ptr);
        return;
    }
    err_set_reason(err, ERR_INTERNAL, "agent_error", "the agent answered an unknown error");
}

void agent_error_of_code(const char *code, struct err *err)
{
    agent_error_make(view_of(code), VIEW(""), err);
}

void agent_error_read(struct view text, struct err *err)
{
    struct agent_error error = {0};
    struct err ignored = {0};
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &error, NULL, &ignored);
    agent_error_make(doc == NULL ? VIEW("") : error.code, doc == NULL ? VIEW("") : error.error,
                     err);
}
