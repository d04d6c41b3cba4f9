/* POST /sandbox/{id}/search: files by name and by what they hold. */
#include "common/contracts/agent.h"
#include "common/json/write.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/routes.h"
#include "gateway/native/search_lines.h"
#include "gateway/native/tool.h"

enum {
    PATTERN_MAX = 4096,
    RESULTS_DEFAULT = 1000,
    RESULTS_MAX = 10000,
    FILE_BYTES_MAX = 64 * 1024 * 1024,
    ARGUMENT_MAX = 64 * 1024,
    MESSAGE_MAX = 256 * 1024,
    ANSWER_MAX = 2 * AGENT_MESSAGE_MAX,
};

struct search_body {
    struct view path;
    struct view user;
    struct view name;
    struct view text;
    bool regex;
    bool case_sensitive;
    bool has_case_sensitive;
    int64_t max_results;
    int64_t max_file_bytes;
    bool has_max_file_bytes;
};

static const struct json_field body_fields[] = {
    JSON_STRING(struct search_body, path, "path", .required = true, .not_empty = true,
                .max_len = PATH_BYTES_MAX),
    JSON_STRING(struct search_body, user, "user", .max_len = USER_NAME_MAX),
    JSON_STRING(struct search_body, name, "name", .max_len = PATTERN_MAX),
    JSON_STRING(struct search_body, text, "text", .max_len = PATTERN_MAX),
    JSON_BOOL(struct search_body, regex, "regex"),
    JSON_BOOL(struct search_body, case_sensitive, "caseSensitive",
              JSON_PRESENT(struct search_body, has_case_sensitive)),
    JSON_INT(struct search_body, max_results, "maxResults", .min = 1, .max = RESULTS_MAX,
             .fallback = RESULTS_DEFAULT),
    JSON_INT(struct search_body, max_file_bytes, "maxFileBytes",
             JSON_PRESENT(struct search_body, has_max_file_bytes), .min = 1, .max = FILE_BYTES_MAX),
};

/* What the tool takes: the same without the folder. */
static void write_argument(const struct search_body *body, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    if (body->name.len > 0) {
        json_string(&writer, "name", body->name);
    }
    if (body->text.len > 0) {
        json_string(&writer, "text", body->text);
    }
    json_bool(&writer, "regex", body->regex);
    if (body->has_case_sensitive) {
        json_bool(&writer, "caseSensitive", body->case_sensitive);
    }
    json_int(&writer, "maxResults", body->max_results);
    if (body->has_max_file_bytes) {
        json_int(&writer, "maxFileBytes", body->max_file_bytes);
    }
    json_end_object(&writer);
}

struct answer {
    struct view out;
    struct view err;
    struct view reason;
    int64_t exit_code;
    bool has_exit_code;
    bool truncated;
};

static const struct json_field answer_fields[] = {
    JSON_STRING(struct answer, out, "stdout", .allow_nul = true),
    JSON_STRING(struct answer, err, "stderr", .allow_nul = true),
    JSON_STRING(struct answer, reason, "reason", .nullable = true),
    JSON_INT(struct answer, exit_code, "exitCode", JSON_PRESENT(struct answer, has_exit_code),
             .nullable = true),
    JSON_BOOL(struct answer, truncated, "truncated"),
};

/* A search that took too long has found something too. */
static bool check_answer(const struct answer *answer, struct err *err)
{
    if ((answer->has_exit_code && answer->exit_code == 0) ||
        view_equal(answer->reason, VIEW("timeout"))) {
        return true;
    }
    tool_error_read(answer->err, err);
    return false;
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct answer answer;
    const struct json_schema schema = JSON_SCHEMA(answer_fields);
    request->hub_call = NULL;
    if (!agent_replied(request, reply, err)) {
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(reply->text, &schema, &answer, NULL, &failure);
    if (doc == NULL || !check_answer(&answer, &failure)) {
        request_fail(request, &failure);
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    search_lines_write(answer.out, &out);
    request_respond_json(request, 200, &out);
}

static void run_search(struct request *request, const struct search_body *body)
{
    struct err err = {0};
    struct hub_message parts;
    struct file_name name;
    AUTO(str_free) struct str argument = STR_INIT(ARGUMENT_MAX);
    AUTO(str_free) struct str message = STR_INIT(MESSAGE_MAX);
    write_argument(body, &argument);
    const struct tool_run run = {.verb = "search",
                                 .name = &name,
                                 .argument = str_view(&argument),
                                 .timeout_ms = TOOL_SEARCH_TIMEOUT_MS};
    bool fits = view_copy(body->path, name.path, sizeof name.path) &&
                view_copy(body->user, name.user, sizeof name.user);
    if (!fits) {
        err_set_reason(&err, ERR_INVALID, "invalid_path", "The path is not valid.");
    } else if (str_check(&argument, "search", &err)) {
        tool_write(&run, &message);
        if (agent_message(&message, &parts, &err)) {
            request->hub_call = hub_call_begin(request->gateway->hub, request->id, &parts, 0,
                                               on_reply, request, &err);
        }
    }
    if (request->hub_call == NULL) {
        request_fail(request, &err);
    }
}

void search_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct search_body body;
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &body, &violations, &err);
    if (doc == NULL || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &violations);
    } else if (body.name.len == 0 && body.text.len == 0) {
        err_set_reason(&err, ERR_INVALID, "validation_failed", "name or text is required");
        request_fail(request, &err);
    } else {
        run_search(request, &body);
    }
}
