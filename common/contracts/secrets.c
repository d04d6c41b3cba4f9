#include "common/contracts/secrets.h"

static bool is_alphanumeric(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_of_names(struct view name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

bool secret_name_check(struct view name, const char **problem)
{
    *problem = "must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit";
    return name.len >= 1 && name.len <= SECRET_NAME_MAX && is_alphanumeric(name.ptr[0]) &&
           is_of_names(name);
}

bool secret_file_name_check(struct view name, const char **problem)
{
    *problem = "must be the name of a file, 1 to 128 of A-Z a-z 0-9 . _ -";
    return name.len >= 1 && name.len <= SECRET_FILE_NAME_MAX && is_of_names(name) &&
           !view_equal(name, VIEW(".")) && !view_equal(name, VIEW(".."));
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS set_fields[] = {
    JSON_ID(struct secret_set, user_id, "userId", .required = true),
    JSON_ID(struct secret_set, actor_key_id, "actorKeyId"),
    JSON_STRING(struct secret_set, name, "name", .required = true, .check = secret_name_check),
    JSON_STRING(struct secret_set, value, "value", .required = true, .max_len = SECRET_VALUE_MAX),
};
SCHEMA(secret_set_schema, set_fields);

FIELDS info_fields[] = {
    JSON_STRING(struct secret_info, name, "name", .required = true),
    JSON_STRING(struct secret_info, created_at, "createdAt", .required = true),
    JSON_STRING(struct secret_info, updated_at, "updatedAt", .required = true),
    JSON_BOOL(struct secret_info, is_new, "isNew", .required = true),
};
SCHEMA(secret_info_schema, info_fields);

FIELDS list_fields[] = {
    JSON_ID(struct secret_list, user_id, "userId", .required = true),
};
SCHEMA(secret_list_schema, list_fields);

FIELDS list_answer_fields[] = {
    JSON_ARRAY(struct secret_list_answer, secrets, "secrets", .required = true),
};
SCHEMA(secret_list_answer_schema, list_answer_fields);

FIELDS delete_fields[] = {
    JSON_ID(struct secret_delete, user_id, "userId", .required = true),
    JSON_ID(struct secret_delete, actor_key_id, "actorKeyId"),
    JSON_STRING(struct secret_delete, name, "name", .required = true, .check = secret_name_check),
};
SCHEMA(secret_delete_schema, delete_fields);
