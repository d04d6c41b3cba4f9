/* common/contracts/agent_files.h: the requests of the agent protocol about files and ports, as
 * clients send them too. Answers are {"id","type":"<x>Response",...}.
 *
 * An entry is {"path","name","type":"file"|"directory"|"symlink"|"other","size","mode":"0644",
 * "owner","group","uid","gid","modifiedAt"}, with "target" when it is a symlink. */
#ifndef COMMON_CONTRACTS_AGENT_FILES_H
#define COMMON_CONTRACTS_AGENT_FILES_H

#include "common/json/read.h"

#include <sys/types.h>

enum {
    LIST_DEPTH_MAX = 32,
    LIST_ENTRIES_MAX = 10000,
    FILE_MODE_SIZE = 5, /* "0644" and its NUL */
    FILE_MODE_BITS = 07777,
};

/* → listResponse {path, entries, truncated}, sorted by path */
struct agent_list {
    struct view id;
    struct view type;
    struct view path;
    struct view user;
    int64_t depth; /* 1: what lies in the folder itself */
    int64_t limit;
};
extern const struct json_schema agent_list_schema;

/* → statResponse {entry} */
struct agent_stat {
    struct view id;
    struct view type;
    struct view path;
    struct view user;
    bool follow; /* default true: what a link leads to */
};
extern const struct json_schema agent_stat_schema;

/* → mkdirResponse {path}. With parents (default) a folder that is there already is fine. */
struct agent_mkdir {
    struct view id;
    struct view type;
    struct view path;
    struct view user;
    bool parents;
    struct view mode; /* of the last folder; empty: 0755 */
};
extern const struct json_schema agent_mkdir_schema;

/* → renameResponse, copyResponse {path}: the new one. to is that path itself, not a folder to put
 * it in. overwrite replaces a file, or a folder that is empty. */
struct agent_rename {
    struct view id;
    struct view type;
    struct view path;
    struct view to;
    struct view user;
    bool overwrite;
    bool recursive; /* of copy: folders too */
};
extern const struct json_schema agent_rename_schema;
extern const struct json_schema agent_copy_schema; /* into a struct agent_rename */

/* → removeResponse {path} */
struct agent_remove {
    struct view id;
    struct view type;
    struct view path;
    struct view user;
    bool recursive;
};
extern const struct json_schema agent_remove_schema;

/* Data frames and fin toward the agent → uploadResponse {path, size, created} */
struct agent_upload {
    struct view id;
    struct view type;
    struct view path;
    struct view user;
    int64_t stream_id;
    struct view mode; /* empty: that of the file it replaces, else 0644 */
    int64_t size;     /* what will come: anything else is an error */
    bool has_size;
    bool sync;    /* on the disk before it is answered */
    bool parents; /* default true: missing folders are made */
};
extern const struct json_schema agent_upload_schema;

/* → downloadResponse {streamId, path, size, offset, length, modifiedAt, etag, mode}, data, fin */
struct agent_download {
    struct view id;
    struct view type;
    struct view path;
    struct view user;
    int64_t stream_id;
    int64_t offset; /* beyond the end: nothing is sent */
    int64_t length; /* cut to what there is */
    bool has_length;
};
extern const struct json_schema agent_download_schema;

/* → watchResponse {streamId, path}, then texts {"type":"watchEvent","streamId","event","path"} */
struct agent_watch {
    struct view id;
    struct view type;
    struct view path;
    struct view user;
    int64_t stream_id;
    bool recursive; /* default true */
};
extern const struct json_schema agent_watch_schema;

/* → unwatchResponse {streamId}; the stream is reset behind it */
struct agent_unwatch {
    struct view id;
    struct view type;
    int64_t stream_id;
};
extern const struct json_schema agent_unwatch_schema;

/* → dialResponse {streamId}, data and fin both ways */
struct agent_dial {
    struct view id;
    struct view type;
    int64_t port;
    int64_t stream_id;
};
extern const struct json_schema agent_dial_schema;

/* A mode that a schema has let through; fallback when text is empty. */
mode_t agent_file_mode(struct view text, mode_t fallback);

#endif
