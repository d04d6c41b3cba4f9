#include "common/contracts/agent_files.h"

#include "common/contracts/agent.h"
#include "common/contracts/stream.h"

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], false}
#define ENVELOPE(type_) JSON_STRING(type_, id, "id"), JSON_STRING(type_, type, "type")
#define PATH(type_, member, name)                                                                  \
    JSON_STRING(type_, member, name, .required = true, .not_empty = true, .max_len = PATH_BYTES_MAX)
#define USER(type_) JSON_STRING(type_, user, "user", .max_len = USER_NAME_MAX)
#define MODE(type_) JSON_STRING(type_, mode, "mode", .check = check_mode)
#define STREAM_ID(type_)                                                                           \
    JSON_INT(type_, stream_id, "streamId", .required = true, .min = 1, .max = STREAM_ID_MAX)
/* From 0 on, without an upper limit. */
#define BYTE_COUNT .min = 0, .max = -1

enum { PORT_MAX = 65535, MODE_DIGITS_MIN = 3, OCTAL_BITS = 3 };

static bool check_mode(struct view value, const char **problem)
{
    *problem = "must be three or four octal digits";
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '7') {
            return false;
        }
    }
    return value.len >= MODE_DIGITS_MIN && value.len < FILE_MODE_SIZE;
}

mode_t agent_file_mode(struct view text, mode_t fallback)
{
    mode_t mode = 0;
    for (size_t i = 0; i < text.len; i++) {
        mode = mode << OCTAL_BITS | (mode_t)(text.ptr[i] - '0');
    }
    return text.len == 0 ? fallback : mode & FILE_MODE_BITS;
}

FIELDS list_fields[] = {
    ENVELOPE(struct agent_list),
    PATH(struct agent_list, path, "path"),
    USER(struct agent_list),
    JSON_INT(struct agent_list, depth, "depth", .min = 1, .max = LIST_DEPTH_MAX, .fallback = 1),
    JSON_INT(struct agent_list, limit, "limit", .min = 1, .max = LIST_ENTRIES_MAX,
             .fallback = LIST_ENTRIES_MAX),
};
SCHEMA(agent_list_schema, list_fields);

FIELDS stat_fields[] = {
    ENVELOPE(struct agent_stat),
    PATH(struct agent_stat, path, "path"),
    USER(struct agent_stat),
    JSON_BOOL(struct agent_stat, follow, "follow", .fallback = true),
};
SCHEMA(agent_stat_schema, stat_fields);

FIELDS mkdir_fields[] = {
    ENVELOPE(struct agent_mkdir),
    PATH(struct agent_mkdir, path, "path"),
    USER(struct agent_mkdir),
    JSON_BOOL(struct agent_mkdir, parents, "parents", .fallback = true),
    MODE(struct agent_mkdir),
};
SCHEMA(agent_mkdir_schema, mkdir_fields);

FIELDS rename_fields[] = {
    ENVELOPE(struct agent_rename),
    PATH(struct agent_rename, path, "path"),
    PATH(struct agent_rename, to, "to"),
    USER(struct agent_rename),
    JSON_BOOL(struct agent_rename, overwrite, "overwrite"),
};
SCHEMA(agent_rename_schema, rename_fields);

FIELDS copy_fields[] = {
    ENVELOPE(struct agent_rename),
    PATH(struct agent_rename, path, "path"),
    PATH(struct agent_rename, to, "to"),
    USER(struct agent_rename),
    JSON_BOOL(struct agent_rename, overwrite, "overwrite"),
    JSON_BOOL(struct agent_rename, recursive, "recursive"),
};
SCHEMA(agent_copy_schema, copy_fields);

FIELDS remove_fields[] = {
    ENVELOPE(struct agent_remove),
    PATH(struct agent_remove, path, "path"),
    USER(struct agent_remove),
    JSON_BOOL(struct agent_remove, recursive, "recursive"),
};
SCHEMA(agent_remove_schema, remove_fields);

FIELDS upload_fields[] = {
    ENVELOPE(struct agent_upload),
    PATH(struct agent_upload, path, "path"),
    USER(struct agent_upload),
    STREAM_ID(struct agent_upload),
    MODE(struct agent_upload),
    JSON_INT(struct agent_upload, size, "size", JSON_PRESENT(struct agent_upload, has_size),
             BYTE_COUNT),
    JSON_BOOL(struct agent_upload, sync, "sync"),
    JSON_BOOL(struct agent_upload, parents, "parents", .fallback = true),
};
SCHEMA(agent_upload_schema, upload_fields);

FIELDS download_fields[] = {
    ENVELOPE(struct agent_download),
    PATH(struct agent_download, path, "path"),
    USER(struct agent_download),
    STREAM_ID(struct agent_download),
    JSON_INT(struct agent_download, offset, "offset", BYTE_COUNT),
    JSON_INT(struct agent_download, length, "length",
             JSON_PRESENT(struct agent_download, has_length), BYTE_COUNT),
};
SCHEMA(agent_download_schema, download_fields);

FIELDS watch_fields[] = {
    ENVELOPE(struct agent_watch),
    PATH(struct agent_watch, path, "path"),
    USER(struct agent_watch),
    STREAM_ID(struct agent_watch),
    JSON_BOOL(struct agent_watch, recursive, "recursive", .fallback = true),
};
SCHEMA(agent_watch_schema, watch_fields);

FIELDS unwatch_fields[] = {
    ENVELOPE(struct agent_unwatch),
    STREAM_ID(struct agent_unwatch),
};
SCHEMA(agent_unwatch_schema, unwatch_fields);

FIELDS dial_fields[] = {
    ENVELOPE(struct agent_dial),
    JSON_INT(struct agent_dial, port, "port", .required = true, .min = 1, .max = PORT_MAX),
    STREAM_ID(struct agent_dial),
};
SCHEMA(agent_dial_schema, dial_fields);
