/* common/contracts/secrets.h: what gateways ask the sandbox-service about the secrets of a user. A
 * value goes in and never comes back, but into the sandboxes that name it. */
#ifndef COMMON_CONTRACTS_SECRETS_H
#define COMMON_CONTRACTS_SECRETS_H

#include "common/base/id.h"
#include "common/json/read.h"

enum {
    SECRET_NAME_MAX = 64,
    SECRET_VALUE_MAX = 32 * 1024, /* bytes */
    SECRET_FILE_NAME_MAX = 128,
    SECRETS_PER_USER_MAX = 100,
    SECRETS_PER_SANDBOX_MAX = 32,
    SECRETS_BYTES_MAX = 256 * 1024, /* of one sandbox together */
};

/* Where a sandbox finds its secrets that are files; in memory alone. */
#define SECRET_FILES_DIR "/run/secrets"

/* For .check. [A-Za-z0-9][A-Za-z0-9._-]{0,63} */
bool secret_name_check(struct view name, const char **problem);
/* [A-Za-z0-9._-]{1,128}, and neither "." nor "..". */
bool secret_file_name_check(struct view name, const char **problem);

/* secret.set -> secret_info: makes one, or gives one another value, which sandboxes get that start,
 * or whose agent connects, from then on. ERR_LIMIT "secret_quota_exceeded", ERR_UNAVAILABLE
 * "secrets_not_configured". */
#define SECRET_SET "secret.set"
struct secret_set {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session acts */
    struct view name;
    struct view value; /* may be empty */
};
extern const struct json_schema secret_set_schema;
struct secret_info {
    struct view name;
    struct view created_at; /* RFC 3339 */
    struct view updated_at;
    bool is_new;
};
extern const struct json_schema secret_info_schema;

/* secret.list {userId} -> all of the user's, by name, as the API shows them. */
#define SECRET_LIST "secret.list"
struct secret_list {
    char user_id[ID_SIZE];
};
extern const struct json_schema secret_list_schema;
struct secret_list_answer {
    struct view secrets; /* a JSON array of {name, createdAt, updatedAt} */
};
extern const struct json_schema secret_list_answer_schema;

/* secret.delete -> {}. What runs keeps what it was given. ERR_NOT_FOUND "secret_not_found". */
#define SECRET_DELETE "secret.delete"
struct secret_delete {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE];
    struct view name;
};
extern const struct json_schema secret_delete_schema;

#endif
