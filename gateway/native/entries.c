/* .../sandbox/{id}/entries: what lies in folders. */
#include "common/contracts/agent_files.h"
#include "common/json/write.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/routes.h"

enum {
    MESSAGE_MAX = 64 * 1024,
    LIST_LIMIT_DEFAULT = 1000,
    LIST_DEPTH_DEFAULT = 1,
};

static void write_name(struct json_writer *writer, const char *type, const struct file_name *name)
{
    json_string(writer, "type", view_of(type));
    json_string(writer, "path", view_of(name->path));
    if (name->user[0] != '\0') {
        json_string(writer, "user", view_of(name->user));
    }
}

void entries_list_handle(struct request *request)
{
    struct err err = {0};
    struct file_name name;
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    file_name_read(&parameters, &name);
    int64_t depth = parameter_int(&parameters, "depth", 1, LIST_DEPTH_MAX, LIST_DEPTH_DEFAULT);
    int64_t limit = parameter_int(&parameters, "limit", 1, LIST_ENTRIES_MAX, LIST_LIMIT_DEFAULT);
    if (!parameters_check(&parameters, &err) || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    AUTO(str_free) struct str message = STR_INIT(MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&message);
    json_begin_object(&writer, NULL);
    write_name(&writer, "list", &name);
    json_int(&writer, "depth", depth);
    json_int(&writer, "limit", limit);
    json_end_object(&writer);
    agent_ask(request, &message, AGENT_FILE_TIMEOUT_MS);
}

void entries_remove_handle(struct request *request)
{
    struct err err = {0};
    struct file_name name;
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    file_name_read(&parameters, &name);
    bool recursive = parameter_bool(&parameters, "recursive", false);
    if (!parameters_check(&parameters, &err) || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    AUTO(str_free) struct str message = STR_INIT(MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&message);
    json_begin_object(&writer, NULL);
    write_name(&writer, "remove", &name);
    json_bool(&writer, "recursive", recursive);
    json_end_object(&writer);
    request_add_detail(request, "op", VIEW("remove"));
    request_add_detail(request, "path", view_of(name.path));
    agent_ask(request, &message, AGENT_FILE_TIMEOUT_MS);
}

struct operation {
    struct view op;
    struct view path;
    struct view to;
    struct view user;
    struct view mode;
    bool recursive;
    bool overwrite;
    bool parents;
};

static const char *const operations[] = {"mkdir", "rename", "copy", NULL};

static bool check_mode(struct view value, const char **problem)
{
    *problem = "must be three or four octal digits, such as 0755";
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '7') {
            return false;
        }
    }
    return value.len == 3 || value.len == 4;
}

static const struct json_field operation_fields[] = {
    JSON_STRING(struct operation, op, "op", .required = true, .one_of = operations),
    JSON_STRING(struct operation, path, "path", .required = true, .not_empty = true,
                .max_len = PATH_BYTES_MAX),
    JSON_STRING(struct operation, to, "to", .max_len = PATH_BYTES_MAX),
    JSON_STRING(struct operation, user, "user", .max_len = USER_NAME_MAX),
    JSON_STRING(struct operation, mode, "mode", .check = check_mode),
    JSON_BOOL(struct operation, recursive, "recursive"),
    JSON_BOOL(struct operation, overwrite, "overwrite"),
    JSON_BOOL(struct operation, parents, "parents", .fallback = true),
};

static bool is_mkdir(const struct operation *operation)
{
    return view_equal(operation->op, VIEW("mkdir"));
}

static bool check_target(const struct operation *operation, struct err *err)
{
    return is_mkdir(operation) || operation->to.len > 0 ||
           err_set_reason(err, ERR_INVALID, "validation_failed",
                          "to is required: the new path of what is renamed or copied");
}

/* op is the type of the agent's own request. */
static void write_operation(const struct operation *operation, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", operation->op);
    json_string(&writer, "path", operation->path);
    if (operation->user.len > 0) {
        json_string(&writer, "user", operation->user);
    }
    if (is_mkdir(operation)) {
        json_bool(&writer, "parents", operation->parents);
        if (operation->mode.len > 0) {
            json_string(&writer, "mode", operation->mode);
        }
    } else {
        json_string(&writer, "to", operation->to);
        json_bool(&writer, "overwrite", operation->overwrite);
        json_bool(&writer, "recursive", operation->recursive);
    }
    json_end_object(&writer);
}

void entries_change_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct operation operation;
    const struct json_schema schema = JSON_SCHEMA(operation_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &operation, &violations, &err);
    if (doc == NULL || !check_target(&operation, &err) || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    AUTO(str_free) struct str message = STR_INIT(MESSAGE_MAX);
    write_operation(&operation, &message);
    request_add_detail(request, "op", operation.op);
    request_add_detail(request, "path", operation.path);
    request_add_detail(request, "to", operation.to);
    agent_ask(request, &message, AGENT_FILE_TIMEOUT_MS);
}
