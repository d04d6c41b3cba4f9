/* common/contracts/volumes.h: what gateways ask the sandbox-service about the volumes of a user:
 * disks that outlive the sandboxes they are attached to. */
#ifndef COMMON_CONTRACTS_VOLUMES_H
#define COMMON_CONTRACTS_VOLUMES_H

#include "common/base/id.h"
#include "common/json/read.h"

enum {
    VOLUME_NAME_MAX = 63,
    VOLUME_SIZE_MB_MIN = 16, /* below it a file system has no room of its own */
    VOLUME_SIZE_MB_MAX = 4 * 1024 * 1024,
    VOLUMES_PER_SANDBOX_MAX = 8,
    VOLUME_PATH_MAX = 255,
    VOLUME_PATH_PARTS_MAX = 16,           /* each is looked at before each start */
    VOLUME_USE_MAX = VOLUME_NAME_MAX + 3, /* with ":ro" */
};

/* For .check. [a-z0-9][a-z0-9_.-]{0,62} */
bool volume_name_check(struct view name, const char **problem);
/* Where a volume may be seen inside: an absolute path without empty parts, "." and "..", outside
 * /proc, /sys, /dev, /run/secrets and the agent's own folder. */
bool volume_path_check(struct view path, const char **problem);
/* Whether path is that folder, or below it. */
bool volume_path_is_within(struct view path, struct view folder);

/* How a sandbox names a volume: "<name>", "<name>:rw" (the same) or "<name>:ro". False: it is
 * none. */
struct volume_use {
    struct view name;
    bool read_only;
};
bool volume_use_read(struct view text, struct volume_use *out) MUST_CHECK;

/* volume.create -> volume_info. volume_id is the caller's choice and makes the call idempotent.
 * ERR_CONFLICT "volume_exists", ERR_LIMIT "volume_quota_exceeded". */
#define VOLUME_CREATE "volume.create"
struct volume_create {
    char volume_id[ID_SIZE];
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session acts */
    struct view name;
    int64_t size_mb;
    bool is_shared; /* may have several writers at a time */
};
extern const struct json_schema volume_create_schema;
struct volume_info {
    char volume_id[ID_SIZE];
    struct view name;
    int64_t size_mb;
    bool is_shared;
    struct view created_at; /* RFC 3339 */
};
extern const struct json_schema volume_info_schema;

/* volume.list {userId} -> all of the user's, by name, as the API shows them. */
#define VOLUME_LIST "volume.list"
struct volume_list {
    char user_id[ID_SIZE];
};
extern const struct json_schema volume_list_schema;
struct volume_list_answer {
    struct view volumes; /* a JSON array of {id, name, sizeMB, shared, createdAt, attachments:
                            [{sandboxId, path, readOnly}]} */
};
extern const struct json_schema volume_list_answer_schema;

/* volume.delete -> {} as soon as the row says so; the disk goes behind. ERR_NOT_FOUND
 * "volume_not_found", ERR_CONFLICT "volume_in_use". */
#define VOLUME_DELETE "volume.delete"
struct volume_delete {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE];
    struct view name;
};
extern const struct json_schema volume_delete_schema;

#endif
