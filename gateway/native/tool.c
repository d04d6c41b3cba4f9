#include "gateway/native/tool.h"

#include "common/json/write.h"
#include "gateway/native/agent_errors.h"

#define TOOL_PROGRAM AGENT_DIR "/tool"

/* A folder whose name begins with '-' is no option. */
static void write_folder(struct json_writer *writer, const char *path)
{
    char dashed[PATH_SIZE + 2] = "./";
    if (path[0] == '-') {
        memcpy(dashed + 2, path, strlen(path) + 1);
        path = dashed;
    }
    json_string(writer, NULL, view_of(path));
}

void tool_write(const struct tool_run *run, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("exec"));
    json_string(&writer, "cmd", VIEW(TOOL_PROGRAM));
    json_begin_array(&writer, "args");
    json_string(&writer, NULL, view_of(run->verb));
    write_folder(&writer, run->name->path);
    json_string(&writer, NULL, run->argument);
    json_end_array(&writer);
    if (run->name->user[0] != '\0') {
        json_string(&writer, "user", view_of(run->name->user));
    }
    json_int(&writer, "timeoutMs", run->timeout_ms);
    json_int(&writer, "maxOutputBytes", EXEC_OUTPUT_MAX);
    if (run->is_streamed) {
        json_bool(&writer, "stream", true);
        json_bool(&writer, "stdinOpen", run->takes_stdin);
    }
    json_end_object(&writer);
}

struct tool_error {
    struct view error;
    struct view code;
};

static const struct json_field fields[] = {
    JSON_STRING(struct tool_error, error, "error", .required = true),
    JSON_STRING(struct tool_error, code, "code", .required = true),
};

void tool_error_read(struct view text, struct err *err)
{
    struct tool_error error;
    struct err ignored = {0};
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(text, &schema, &error, NULL, &ignored);
    if (doc == NULL) {
        err_set_reason(err, ERR_INTERNAL, "tool_failed", "the tool failed without a word");
    } else {
        agent_error_make(error.code, error.error, err);
    }
}
