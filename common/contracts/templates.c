#include "common/contracts/templates.h"

#include "common/base/str.h"
#include "common/contracts/agent.h"
#include "common/contracts/network.h"

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool template_name_check(struct view name, const char **problem)
{
    *problem = "must be lower-case letters, digits, '.', '_' and '-', beginning with a letter or "
               "digit, of at most 63";
    if (name.len == 0 || name.len > TEMPLATE_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!is_lower(c) && !is_digit(c) && (i == 0 || (c != '_' && c != '.' && c != '-'))) {
            return false;
        }
    }
    /* It stands where an id may stand. */
    char id[ID_SIZE];
    *problem = "must not look like an id";
    return !id_parse(name, id);
}

bool template_path_check(struct view path, const char **problem)
{
    *problem = "must be an absolute path without \".\" and \"..\" in it, of at most 1024 bytes";
    if (path.len == 0 || path.len > TEMPLATE_PATH_MAX || path.ptr[0] != '/') {
        return false;
    }
    struct view rest = path;
    while (rest.len > 0) {
        struct view segment = view_cut(&rest, '/');
        if (view_equal(segment, VIEW(".")) || view_equal(segment, VIEW(".."))) {
            return false;
        }
    }
    return true;
}

bool template_user_check(struct view user, const char **problem)
{
    *problem = "must be a user's name, or a number, of at most 64 characters";
    if (user.len == 0 || user.len > TEMPLATE_USER_MAX || user.ptr[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < user.len; i++) {
        char c = user.ptr[i];
        bool is_upper = c >= 'A' && c <= 'Z';
        if (!is_lower(c) && !is_upper && !is_digit(c) && c != '_' && c != '.' && c != '-') {
            return false;
        }
    }
    return true;
}

/* Members that are not known were a mistake in a setting, though agents pass over them. */
static bool start_check(struct view text, struct err *err)
{
    struct agent_start start;
    struct json_schema schema = agent_start_schema;
    schema.refuse_unknown = true;
    AUTO(json_doc_release)
    struct json_doc *doc = text.len == 0 ? NULL : json_read(text, &schema, &start, NULL, err);
    if (doc == NULL) {
        return text.len == 0 || err_wrap(err, "start");
    }
    return agent_start_check(&start, err);
}

bool template_settings_check(const struct template_settings *settings, struct err *err)
{
    if (settings->allow.count > 0 && !view_equal(settings->network, VIEW("restricted"))) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "allow is of a restricted network");
    }
    return start_check(settings->start, err) && env_size_check(&settings->env, err);
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

static const char *const profiles[] = {"sudo", "locked", NULL};
static const char *const sources[] = {TEMPLATE_FROM_IMAGE,    TEMPLATE_FROM_DOCKERFILE,
                                      TEMPLATE_FROM_SNAPSHOT, TEMPLATE_FROM_COPY,
                                      TEMPLATE_FROM_FORK,     NULL};

enum { PIECE_BASE64_MAX = (TEMPLATE_PIECE_MAX + 2) / 3 * 4, LOG_TEXT_MAX = 256 * 1024 };

FIELDS settings_fields[] = {
    JSON_STRING(struct template_settings, description, "description",
                .max_len = TEMPLATE_DESCRIPTION_MAX),
    JSON_STRING(struct template_settings, profile, "profile", .one_of = profiles),
    JSON_BOOL(struct template_settings, read_only_root, "readOnlyRoot"),
    JSON_STRING(struct template_settings, runtime, "runtime", .not_empty = true,
                .max_len = TEMPLATE_RUNTIME_MAX),
    JSON_STRING(struct template_settings, work_dir, "workDir", .check = template_path_check),
    JSON_STRING(struct template_settings, user, "user", .check = template_user_check),
    JSON_PAIRS(struct template_settings, env, "env", .max_len = ENV_PAIRS_MAX,
               .item_max = ENV_BYTES_MAX, .check = sandbox_env_name_check),
    JSON_OBJECT(struct template_settings, start, "start", .max_len = TEMPLATE_START_MAX),
    JSON_INT(struct template_settings, memory_mb, "memoryMB",
             JSON_PRESENT(struct template_settings, has_memory_mb), .min = 16,
             .max = TEMPLATE_MEMORY_MB_MAX),
    JSON_INT(struct template_settings, cpu_milli, "cpuMilli",
             JSON_PRESENT(struct template_settings, has_cpu_milli), .min = 10,
             .max = TEMPLATE_CPU_MILLI_MAX),
    JSON_INT(struct template_settings, pids, "pids",
             JSON_PRESENT(struct template_settings, has_pids), .min = 16, .max = TEMPLATE_PIDS_MAX),
    JSON_INT(struct template_settings, disk_mb, "diskMB",
             JSON_PRESENT(struct template_settings, has_disk_mb), .min = 16,
             .max = TEMPLATE_DISK_MB_MAX),
    JSON_STRING(struct template_settings, network, "network", .one_of = network_modes),
    JSON_STRINGS(struct template_settings, allow, "allow", .max_len = NETWORK_ALLOW_MAX,
                 .item_max = NETWORK_ALLOW_ITEM_MAX),
};
SCHEMA(template_settings_schema, settings_fields);

FIELDS create_fields[] = {
    JSON_ID(struct template_create, template_id, "templateId", .required = true),
    JSON_ID(struct template_create, user_id, "userId", .required = true),
    JSON_STRING(struct template_create, name, "name", .required = true,
                .check = template_name_check),
    JSON_STRING(struct template_create, source, "source", .required = true, .one_of = sources),
    JSON_STRING(struct template_create, reference, "reference", .required = true,
                .max_len = TEMPLATE_REFERENCE_MAX),
    JSON_BOOL(struct template_create, waits, "waits"),
    JSON_OBJECT(struct template_create, settings, "settings", .required = true,
                .max_len = TEMPLATE_SETTINGS_MAX),
};
SCHEMA(template_create_schema, create_fields);

FIELDS shown_fields[] = {
    JSON_OBJECT(struct template_shown, shown, "template", .required = true),
};
SCHEMA(template_shown_schema, shown_fields);

FIELDS named_fields[] = {
    JSON_ID(struct template_named, user_id, "userId", .required = true),
    JSON_STRING(struct template_named, template_name, "template", .required = true,
                .max_len = TEMPLATE_NAME_MAX),
};
SCHEMA(template_named_schema, named_fields);

FIELDS list_fields[] = {
    JSON_ID(struct template_list, user_id, "userId", .required = true),
    JSON_STRING(struct template_list, source, "source", .one_of = sources),
};
SCHEMA(template_list_schema, list_fields);

FIELDS page_fields[] = {
    JSON_ARRAY(struct template_page, templates, "templates", .required = true),
};
SCHEMA(template_page_schema, page_fields);

FIELDS piece_fields[] = {
    JSON_ID(struct template_piece, template_id, "templateId", .required = true),
    JSON_ID(struct template_piece, user_id, "userId", .required = true),
    JSON_INT(struct template_piece, offset, "offset", .required = true, .min = 0, .max = -1),
    JSON_STRING(struct template_piece, bytes, "bytes", .required = true,
                .max_len = PIECE_BASE64_MAX),
    JSON_BOOL(struct template_piece, last, "last"),
};
SCHEMA(template_piece_schema, piece_fields);

FIELDS log_fields[] = {
    JSON_ID(struct template_log, template_id, "templateId", .required = true),
    JSON_ID(struct template_log, user_id, "userId", .required = true),
    JSON_INT(struct template_log, from, "from", .required = true, .min = 0, .max = -1),
    JSON_INT(struct template_log, wait_ms, "waitMs", .required = true, .min = 0,
             .max = TEMPLATE_LOG_WAIT_MS_MAX),
};
SCHEMA(template_log_schema, log_fields);

FIELDS log_answer_fields[] = {
    JSON_STRING(struct template_log_answer, text, "text", .max_len = LOG_TEXT_MAX),
    JSON_INT(struct template_log_answer, from, "from", .required = true),
    JSON_INT(struct template_log_answer, next, "next", .required = true),
    JSON_STRING(struct template_log_answer, status, "status", .required = true),
    JSON_STRING(struct template_log_answer, failure, "failure"),
    JSON_INT(struct template_log_answer, bytes, "bytes", .required = true),
    JSON_INT(struct template_log_answer, bytes_total, "bytesTotal", .required = true),
};
SCHEMA(template_log_answer_schema, log_answer_fields);
