/* common/contracts/templates.h: what gateways ask the sandbox-service about templates. */
#ifndef COMMON_CONTRACTS_TEMPLATES_H
#define COMMON_CONTRACTS_TEMPLATES_H

#include "common/contracts/sandbox.h"

enum {
    TEMPLATE_REFERENCE_MAX = 64 * 1024, /* bytes: the longest is a Dockerfile */
    TEMPLATE_SETTINGS_MAX = 256 * 1024,
    TEMPLATE_DESCRIPTION_MAX = 1000,
    TEMPLATE_START_MAX = 64 * 1024, /* bytes, as JSON */
    TEMPLATE_PATH_MAX = 1024,
    TEMPLATE_USER_MAX = 64,
    TEMPLATE_RUNTIME_MAX = 32,
    TEMPLATE_MEMORY_MB_MAX = 4 * 1024 * 1024, /* what may be asked; the tier caps it */
    TEMPLATE_CPU_MILLI_MAX = 1024 * 1000,
    TEMPLATE_PIDS_MAX = 4 * 1024 * 1024,
    TEMPLATE_DISK_MB_MAX = 16 * 1024 * 1024,
    TEMPLATE_PIECE_MAX = 512 * 1024, /* bytes of a folder that come at a time */
    TEMPLATE_LOG_WAIT_MS_MAX = 20 * 1000,
};

#define TEMPLATE_FROM_IMAGE "image"
#define TEMPLATE_FROM_DOCKERFILE "dockerfile"
#define TEMPLATE_FROM_SNAPSHOT "snapshot"
#define TEMPLATE_FROM_COPY "copy"
#define TEMPLATE_FROM_FORK "fork"
#define TEMPLATE_WAITING "waiting" /* for the folder it is built from */
#define TEMPLATE_MAKING "making"
#define TEMPLATE_READY "ready"
#define TEMPLATE_FAILED "failed"

/* Rules, for .check: of names; of paths: absolute, without "." and ".." in them; of users. */
bool template_name_check(struct view name, const char **problem);
bool template_path_check(struct view path, const char **problem);
bool template_user_check(struct view user, const char **problem);

/* What a template says of its sandboxes. What is left out is the image's, the tier's or the
 * server's. */
struct template_settings {
    struct view description;
    struct view profile; /* "sudo", "locked" */
    struct view runtime;
    struct view work_dir;
    struct view user;
    struct json_pairs env;
    struct view start;         /* an agent_start; may be empty */
    struct view network;       /* one of network_modes */
    struct json_strings allow; /* what "restricted" lets through */
    int64_t memory_mb;
    int64_t cpu_milli;
    int64_t pids;
    int64_t disk_mb;
    bool read_only_root;
    bool has_memory_mb;
    bool has_cpu_milli;
    bool has_pids;
    bool has_disk_mb;
};
extern const struct json_schema template_settings_schema;
/* What no single member shows. ERR_INVALID "validation_failed". */
bool template_settings_check(const struct template_settings *settings, struct err *err) MUST_CHECK;

/* template.create -> template_shown. template_id is the caller's choice and makes the call
 * idempotent. The image is made behind the answer. ERR_INVALID "invalid_image",
 * "invalid_dockerfile", "registry_not_allowed", "runtime_not_allowed"; ERR_DENIED
 * "builds_not_allowed"; ERR_NOT_FOUND "sandbox_not_found", "template_not_found"; ERR_CONFLICT
 * "template_exists", "sandbox_starting", "sandbox_ended", "template_elsewhere"; ERR_LIMIT
 * "template_quota_exceeded", "templates_in_making"; ERR_UNAVAILABLE "docker_unavailable",
 * "template_queue_full". */
#define TEMPLATE_CREATE "template.create"
struct template_create {
    char template_id[ID_SIZE];
    char user_id[ID_SIZE];
    struct view name;
    struct view source;
    struct view reference; /* the image's name; the Dockerfile's text; the sandbox's id; of a copy
                              a snapshot's name or id */
    bool waits;            /* of a Dockerfile: a folder comes by template.piece */
    struct view settings;  /* template_settings as text */
};
extern const struct json_schema template_create_schema;
/* A template as the API shows it: a JSON object. */
struct template_shown {
    struct view shown;
};
extern const struct json_schema template_shown_schema;

/* template.get -> template_shown; template_name may be the name or the id. template.delete -> {};
 * one that is being made is no longer made. ERR_NOT_FOUND "template_not_found" (also those of
 * others), ERR_DENIED "template_of_server", ERR_CONFLICT "template_in_use". */
#define TEMPLATE_GET "template.get"
#define TEMPLATE_DELETE "template.delete"
struct template_named {
    char user_id[ID_SIZE];
    struct view template_name;
};
extern const struct json_schema template_named_schema;

/* template.list -> template_page: those of the server, then the user's own, by name; or those of
 * one source alone. They are few: one page. */
#define TEMPLATE_LIST "template.list"
struct template_list {
    char user_id[ID_SIZE];
    struct view source; /* empty: all */
};
extern const struct json_schema template_list_schema;
struct template_page {
    struct view templates; /* a JSON array */
};
extern const struct json_schema template_page_schema;

/* template.piece -> {}: bytes of the folder's archive (tar), one behind the other; the last one
 * begins the making. A piece that came already is taken as come. ERR_CONFLICT
 * "template_not_waiting", "wrong_offset"; ERR_LIMIT "template_context_too_large". */
#define TEMPLATE_PIECE "template.piece"
struct template_piece {
    char template_id[ID_SIZE];
    char user_id[ID_SIZE];
    int64_t offset;
    struct view bytes; /* base64 */
    bool last;
};
extern const struct json_schema template_piece_schema;

/* template.log -> template_log_answer: what the making said from a place on, at once when there is
 * something, else when there is, when it ends, or after wait_ms. Only the end of a long log is
 * kept: from may be later than was asked. */
#define TEMPLATE_LOG "template.log"
struct template_log {
    char template_id[ID_SIZE];
    char user_id[ID_SIZE];
    int64_t from; /* bytes */
    int64_t wait_ms;
};
extern const struct json_schema template_log_schema;
struct template_log_answer {
    struct view text;
    int64_t from;
    int64_t next;
    struct view status;
    struct view failure;
    int64_t bytes;       /* of the image that have come, and that are known to come */
    int64_t bytes_total; /* 0: not known */
};
extern const struct json_schema template_log_answer_schema;

#endif
