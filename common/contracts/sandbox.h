/* common/contracts/sandbox.h: what gateways ask the sandbox-service. Each message is a struct and
 * the schema that reads and writes it; strings point into the document they were read from. */
#ifndef COMMON_CONTRACTS_SANDBOX_H
#define COMMON_CONTRACTS_SANDBOX_H

#include "common/base/id.h"
#include "common/contracts/secrets.h"
#include "common/contracts/volumes.h"
#include "common/json/read.h"

enum {
    TEMPLATE_NAME_MAX = 63,
    ENV_NAME_MAX = 128,
    ENV_PAIRS_MAX = 256,
    ENV_BYTES_MAX = 64 * 1024, /* names and values of one environment together */
    METADATA_BYTES_MAX = 16 * 1024,
    SANDBOX_TIMEOUT_MS_MAX = 168 * 3600 * 1000, /* what a request may ask; the tier caps it */
    SANDBOX_LIST_MAX = 100,
    REPORT_IDS_MAX = 4096,
    AGENT_TOKEN_MAX = 1024,
};

/* "creating", "running", "pausing", "paused", "resuming", "stopping", "destroyed", "failed" and
 * NULL; the first five are live, and three of them resting: nothing is heard of their agents. (One
 * that is "warm" has no owner, and nobody sees it.) */
extern const char *const sandbox_statuses[];
extern const char *const timeout_policies[]; /* "destroy", "pause" and NULL */
bool sandbox_status_is_live(struct view status);
bool sandbox_status_is_resting(struct view status);

/* Rules for environment names, for .check. Of one command: ^[A-Za-z_][A-Za-z0-9_]{0,127}$. Of a
 * sandbox also none of the names that steer the sandbox itself (AGENT_*, SANDBOX_*, INSIEN_*, LD_*,
 * PATH, NODE_OPTIONS). */
bool env_name_check(struct view name, const char **problem);
bool sandbox_env_name_check(struct view name, const char **problem);
/* A variable has its value or a secret, not both; no two secrets or volumes are in one place. */
struct sandbox_create;
bool sandbox_extras_check(const struct sandbox_create *create, struct err *err) MUST_CHECK;
/* At most ENV_BYTES_MAX in all. */
bool env_size_check(const struct json_pairs *env, struct err *err) MUST_CHECK;

/* sandbox.create -> sandbox_info, when the container runs (its agent then connects to the gateway).
 * sandbox_id is the caller's choice and makes the call idempotent: it is the sandbox's id too,
 * unless the answer has another, of a container that was waiting. That one's agent is connected
 * and must be told the answer's `configure` before the sandbox is its user's. Where that fails the
 * caller asks again with its id as dead_id, and gets another; not so of one that is `repeated`,
 * which an earlier call made and somebody may use. sandbox.destroy knows what was made, or is
 * being made, by the chosen id as well. ERR_NOT_FOUND "template_not_found", "secret_not_found",
 * "volume_not_found", ERR_CONFLICT "sandbox_ended", "volume_in_use", "volume_elsewhere", ERR_LIMIT
 * "quota_exceeded", "key_quota_exceeded" or "node_full", ERR_DENIED "tier_limit_exceeded",
 * ERR_UNAVAILABLE "docker_unavailable" or "network_unavailable", ERR_TIMEOUT. */
#define SANDBOX_CREATE "sandbox.create"
struct sandbox_create {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE]; /* empty: a session asks */
    struct view template_name;
    int64_t timeout_ms;    /* life of the sandbox; 0: the tier's */
    struct json_pairs env; /* for every process started through the API */
    struct view metadata;  /* a JSON object; empty: {} */
    struct view network;   /* one of network_modes; empty: the default */
    int64_t memory_mb;     /* this and the rest: less than the tier's, which is 0 */
    int64_t cpu_milli;
    int64_t pids;
    int64_t disk_mb;
    int64_t idle_timeout_ms; /* 0: it may be idle */
    struct view on_timeout;  /* "destroy", "pause"; empty: the former */
    bool auto_resume;        /* counts when the next is set; else traffic wakes it */
    bool has_auto_resume;
    struct json_pairs secret_env;   /* variable: the secret that it gets */
    struct json_pairs secret_files; /* file below SECRET_FILES_DIR: the secret that is in it */
    struct json_pairs volumes;      /* path inside: volume_use_read */
    struct json_strings allow;      /* what "restricted" may reach */
    char dead_id[ID_SIZE];          /* empty, or what this create was given before */
    struct view mode;               /* "cold": a container is to be started; empty: any will do */
};
extern const struct json_schema sandbox_create_schema;

/* sandbox.get {sandboxId} -> sandbox_info; ERR_NOT_FOUND "sandbox_not_found". The caller compares
 * user_id. */
#define SANDBOX_GET "sandbox.get"
struct sandbox_get {
    char sandbox_id[ID_SIZE];
};
extern const struct json_schema sandbox_get_schema;

struct container_state {
    bool running;
    struct view status; /* created, running, paused, exited, removed */
    int64_t exit_code;
    struct view error;
};
struct sandbox_info {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE]; /* empty when the key's row is gone */
    struct view template_name;
    struct view tier;
    struct view network;
    struct view status;
    struct view end_reason; /* empty while it lives */
    struct view created_at; /* RFC 3339 */
    struct view expires_at; /* empty while it is paused */
    struct view warned_of;  /* the end that is near, if nothing happens until then; may be empty */
    struct view ended_at;
    struct view metadata;
    int64_t memory_mb;
    int64_t cpu_milli;
    int64_t pids;
    int64_t disk_mb; /* 0: no limit */
    int64_t lifetime_hours;
    bool has_start; /* its template starts something in it, which may not serve yet */
    struct container_state container;
    bool repeated;         /* this and the next: of a create alone: it was there before */
    struct view configure; /* sandbox_agent_welcome as JSON; empty: none */
};
extern const struct json_schema sandbox_info_schema;

/* sandbox.list -> the user's sandboxes, newest first, those that have ended too. ERR_INVALID
 * "invalid_cursor". */
#define SANDBOX_LIST "sandbox.list"
struct sandbox_list {
    char user_id[ID_SIZE];
    struct view status; /* one of sandbox_statuses; empty: any */
    int64_t limit;      /* 1..SANDBOX_LIST_MAX */
    struct view cursor;
};
extern const struct json_schema sandbox_list_schema;
struct sandbox_page {
    struct view sandboxes;   /* a JSON array, as the API shows it */
    struct view next_cursor; /* empty: no more */
};
extern const struct json_schema sandbox_page_schema;

/* sandbox.limits -> what a tier allows. ERR_INVALID for none. */
#define SANDBOX_LIMITS "sandbox.limits"
struct sandbox_tier {
    struct view tier;
};
extern const struct json_schema sandbox_tier_schema;
struct sandbox_limits {
    int64_t sandboxes; /* alive at a time, a user */
    int64_t memory_mb; /* this and the rest: of one sandbox */
    int64_t cpu_shares;
    int64_t lifetime_hours;
};
extern const struct json_schema sandbox_limits_schema;

/* sandbox.destroy -> {} as soon as the row says so; the removal goes on behind. A create by that id
 * that is under way is given up, and the answer comes when it is over. Who waits is
 * answered when that is over, well or not: what the sandbox had is free then. Again: the same.
 * ERR_NOT_FOUND "sandbox_not_found" for unknown ids and ids of others. */
#define SANDBOX_DESTROY "sandbox.destroy"
struct sandbox_destroy {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    bool waits;
};
extern const struct json_schema sandbox_destroy_schema;

/* sandbox.agent_connect: an agent came with a token. -> its next token and what it must know.
 * ERR_UNAUTHENTICATED "invalid_agent_token", ERR_CONFLICT "sandbox_ended". */
#define SANDBOX_AGENT_CONNECT "sandbox.agent_connect"
struct sandbox_agent_connect {
    char sandbox_id[ID_SIZE];
    char gateway_id[ID_SIZE]; /* a new one each time a gateway starts: its epoch */
    struct view token;
};
extern const struct json_schema sandbox_agent_connect_schema;
struct sandbox_agent_welcome {
    struct view token;
    struct json_pairs env;   /* its secrets too */
    struct json_pairs files; /* below SECRET_FILES_DIR: name, content */
    struct view profile;     /* "sudo", "locked" */
    struct view work_dir;    /* of the template or the image; may be empty */
    struct view user;        /* the same */
    bool work_dir_chosen;    /* by the template */
    bool user_chosen;        /* by the template */
    struct view start;       /* an agent_start of the template; may be empty */
};
extern const struct json_schema sandbox_agent_welcome_schema;

/* sandbox.report -> {}: the agents connected to a gateway, every few seconds. When there are more
 * than REPORT_IDS_MAX, several reports; together they say all. */
#define SANDBOX_REPORT "sandbox.report"
struct sandbox_report {
    char gateway_id[ID_SIZE];
    struct json_strings connected; /* sandbox ids */
};
extern const struct json_schema sandbox_report_schema;

#define SANDBOX_HEALTH "sandbox.health"
struct sandbox_health {
    bool postgres;
    bool redis;
    bool docker;
};
extern const struct json_schema sandbox_health_schema;

#endif
