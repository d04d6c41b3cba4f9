#include "common/contracts/volumes.h"

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool volume_name_check(struct view name, const char **problem)
{
    *problem = "must be 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit";
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!is_alphanumeric(c) && (i == 0 || (c != '.' && c != '_' && c != '-'))) {
            return false;
        }
    }
    return name.len >= 1 && name.len <= VOLUME_NAME_MAX;
}

bool volume_path_is_within(struct view path, struct view folder)
{
    return view_starts_with(path, folder) &&
           (path.len == folder.len || path.ptr[folder.len] == '/');
}

static bool is_plain_part(struct view part)
{
    for (size_t i = 0; i < part.len; i++) {
        if ((unsigned char)part.ptr[i] < ' ' || part.ptr[i] == '\x7f') {
            return false;
        }
    }
    return part.len > 0 && !view_equal(part, VIEW(".")) && !view_equal(part, VIEW(".."));
}

bool volume_path_check(struct view path, const char **problem)
{
    static const struct view reserved[] = {VIEW("/proc"), VIEW("/sys"), VIEW("/dev"),
                                           VIEW("/run/secrets"), VIEW("/.insien")};
    *problem =
        "must be an absolute path of at most 255 bytes and 16 names, without empty ones, . and ..";
    if (path.len < 2 || path.len > VOLUME_PATH_MAX || path.ptr[0] != '/' ||
        path.ptr[path.len - 1] == '/') {
        return false;
    }
    struct view rest = view_from(path, 1);
    for (int parts = 1; rest.len > 0; parts++) {
        if (parts > VOLUME_PATH_PARTS_MAX || !is_plain_part(view_cut(&rest, '/'))) {
            return false;
        }
    }
    *problem = "is reserved for the sandbox itself";
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (volume_path_is_within(path, reserved[i])) {
            return false;
        }
    }
    return true;
}

bool volume_use_read(struct view text, struct volume_use *out)
{
    const char *ignored;
    size_t whole = text.len;
    out->name = view_cut(&text, ':');
    out->read_only = view_equal(text, VIEW("ro"));
    return volume_name_check(out->name, &ignored) &&
           (out->read_only || view_equal(text, VIEW("rw")) || out->name.len == whole);
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS create_fields[] = {
    JSON_ID(struct volume_create, volume_id, "volumeId", .required = true),
    JSON_ID(struct volume_create, user_id, "userId", .required = true),
    JSON_ID(struct volume_create, actor_key_id, "actorKeyId"),
    JSON_STRING(struct volume_create, name, "name", .required = true, .check = volume_name_check),
    JSON_INT(struct volume_create, size_mb, "sizeMB", .required = true, .min = VOLUME_SIZE_MB_MIN,
             .max = VOLUME_SIZE_MB_MAX),
    JSON_BOOL(struct volume_create, is_shared, "isShared", .required = true),
};
SCHEMA(volume_create_schema, create_fields);

FIELDS info_fields[] = {
    JSON_ID(struct volume_info, volume_id, "volumeId", .required = true),
    JSON_STRING(struct volume_info, name, "name", .required = true),
    JSON_INT(struct volume_info, size_mb, "sizeMB", .required = true),
    JSON_BOOL(struct volume_info, is_shared, "isShared", .required = true),
    JSON_STRING(struct volume_info, created_at, "createdAt", .required = true),
};
SCHEMA(volume_info_schema, info_fields);

FIELDS list_fields[] = {
    JSON_ID(struct volume_list, user_id, "userId", .required = true),
};
SCHEMA(volume_list_schema, list_fields);

FIELDS list_answer_fields[] = {
    JSON_ARRAY(struct volume_list_answer, volumes, "volumes", .required = true),
};
SCHEMA(volume_list_answer_schema, list_answer_fields);

FIELDS delete_fields[] = {
    JSON_ID(struct volume_delete, user_id, "userId", .required = true),
    JSON_ID(struct volume_delete, actor_key_id, "actorKeyId"),
    JSON_STRING(struct volume_delete, name, "name", .required = true, .check = volume_name_check),
};
SCHEMA(volume_delete_schema, delete_fields);
