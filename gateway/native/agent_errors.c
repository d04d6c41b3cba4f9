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
};

void agent_error_read(struct view text, struct err *err)
{
    struct agent_error error;
    struct err ignored = {0};
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &schema, &error, NULL, &ignored);
    for (size_t i = 0; doc != NULL && i < sizeof known / sizeof known[0]; i++) {
        if (view_equal(error.code, view_of(known[i].reason))) {
            err_set_reason(
                err, known[i].code, known[i].reason, "%.*s",
                (int)(error.error.len < ERR_MESSAGE_SIZE ? error.error.len : ERR_MESSAGE_SIZE),
                error.error.ptr);
            return;
        }
    }
    err_set_reason(err, ERR_INTERNAL, "agent_error", "the agent answered an unknown error");
}
