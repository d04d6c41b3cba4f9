#include "common/contracts/sandbox.h"

#include "common/contracts/network.h"
#include "common/contracts/quota.h"

const char *const sandbox_statuses[] = {"creating", "running",   "pausing", "paused", "resuming",
                                        "stopping", "destroyed", "failed",  NULL};

const char *const timeout_policies[] = {"destroy", "pause", NULL};

bool sandbox_status_is_live(struct view status)
{
    return view_equal(status, VIEW("creating")) || view_equal(status, VIEW("running")) ||
           sandbox_status_is_resting(status);
}

bool sandbox_status_is_resting(struct view status)
{
    return view_equal(status, VIEW("pausing")) || view_equal(status, VIEW("paused")) ||
           view_equal(status, VIEW("resuming"));
}

static bool is_name_char(char c, bool first)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (!first && c >= '0' && c <= '9');
}

bool env_name_check(struct view name, const char **problem)
{
    *problem = "must be a name of letters, digits and _ of at most 128 characters";
    if (name.len == 0 || name.len > ENV_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_char(name.ptr[i], i == 0)) {
            return false;
        }
    }
    return true;
}

bool sandbox_env_name_check(struct view name, const char **problem)
{
    static const struct view reserved_prefixes[] = {VIEW("AGENT_"), VIEW("SANDBOX_"),
                                                    VIEW("INSIEN_"), VIEW("LD_")};
    static const struct view reserved_names[] = {VIEW("PATH"), VIEW("NODE_OPTIONS")};
    if (!env_name_check(name, problem)) {
        return false;
    }
    *problem = "is reserved for the sandbox itself";
    for (size_t i = 0; i < sizeof reserved_prefixes / sizeof reserved_prefixes[0]; i++) {
        if (view_starts_with(name, reserved_prefixes[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof reserved_names / sizeof reserved_names[0]; i++) {
        if (view_equal(name, reserved_names[i])) {
            return false;
        }
    }
    return true;
}

bool env_size_check(const struct json_pairs *env, struct err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < env->count; i++) {
        bytes += env->items[i].name.len + env->items[i].value.len + 2;
    }
    return bytes <= ENV_BYTES_MAX ||
           err_set_reason(err, ERR_INVALID, "validation_failed",
                          "env must not exceed %d bytes in all", ENV_BYTES_MAX);
}

static bool has_name(const struct json_pairs *pairs, struct view name)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (view_equal(pairs->items[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* What is in one volume may not say where another is mounted. */
static bool is_below_another(const struct json_pairs *volumes, size_t which)
{
    for (size_t i = 0; i < volumes->count; i++) {
        if (i != which &&
            volume_path_is_within(volumes->items[which].name, volumes->items[i].name)) {
            return true;
        }
    }
    return false;
}

static bool volumes_check(const struct json_pairs *volumes, struct err *err)
{
    for (size_t i = 0; i < volumes->count; i++) {
        struct volume_use use;
        if (is_below_another(volumes, i)) {
            return err_set_reason(err, ERR_INVALID, "validation_failed",
                                  "volumes: none may be inside of another");
        }
        if (!volume_use_read(volumes->items[i].value, &use)) {
            return err_set_reason(err, ERR_INVALID, "validation_failed",
                                  "volumes: a volume is named as \"name\" or \"name:ro\"");
        }
    }
    return true;
}

bool sandbox_extras_check(const struct sandbox_create *create, struct err *err)
{
    if (create->secret_env.count + create->secret_files.count > SECRETS_PER_SANDBOX_MAX) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "secrets: at most %d of a sandbox", SECRETS_PER_SANDBOX_MAX);
    }
    for (size_t i = 0; i < create->secret_env.count; i++) {
        if (has_name(&create->env, create->secret_env.items[i].name)) {
            return err_set_reason(err, ERR_INVALID, "validation_failed",
                                  "secrets: a variable of env can't be a secret too");
        }
    }
    return volumes_check(&create->volumes, err);
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

static const char *const create_modes[] = {"cold", NULL};
FIELDS create_fields[] = {
    JSON_ID(struct sandbox_create, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct sandbox_create, user_id, "userId", .required = true),
    JSON_ID(struct sandbox_create, api_key_id, "apiKeyId"),
    JSON_STRING(struct sandbox_create, template_name, "template", .required = true,
                .max_len = TEMPLATE_NAME_MAX),
    JSON_INT(struct sandbox_create, timeout_ms, "timeoutMs", .min = 0,
             .max = SANDBOX_TIMEOUT_MS_MAX),
    JSON_PAIRS(struct sandbox_create, env, "env", .max_len = ENV_PAIRS_MAX,
               .item_max = ENV_BYTES_MAX, .check = sandbox_env_name_check),
    JSON_OBJECT(struct sandbox_create, metadata, "metadata", .max_len = METADATA_BYTES_MAX),
    JSON_STRING(struct sandbox_create, network, "network"),
    JSON_INT(struct sandbox_create, memory_mb, "memoryMB", .min = 0, .max = LIMIT_MEMORY_MB_MAX),
    JSON_INT(struct sandbox_create, cpu_milli, "cpuMilli", .min = 0, .max = LIMIT_CPU_MILLI_MAX),
    JSON_INT(struct sandbox_create, pids, "pids", .min = 0, .max = LIMIT_PIDS_MAX),
    JSON_INT(struct sandbox_create, disk_mb, "diskMB", .min = 0, .max = LIMIT_DISK_MB_MAX),
    JSON_INT(struct sandbox_create, idle_timeout_ms, "idleTimeoutMs", .min = 0,
             .max = SANDBOX_TIMEOUT_MS_MAX),
    JSON_STRING(struct sandbox_create, on_timeout, "onTimeout", .one_of = timeout_policies),
    JSON_BOOL(struct sandbox_create, auto_resume, "autoResume",
              JSON_PRESENT(struct sandbox_create, has_auto_resume)),
    JSON_PAIRS(struct sandbox_create, secret_env, "secretEnv", .max_len = SECRETS_PER_SANDBOX_MAX,
               .item_max = SECRET_NAME_MAX, .check = sandbox_env_name_check),
    JSON_PAIRS(struct sandbox_create, secret_files, "secretFiles",
               .max_len = SECRETS_PER_SANDBOX_MAX, .item_max = SECRET_NAME_MAX,
               .check = secret_file_name_check),
    JSON_PAIRS(struct sandbox_create, volumes, "volumes", .max_len = VOLUMES_PER_SANDBOX_MAX,
               .item_max = VOLUME_USE_MAX, .check = volume_path_check),
    JSON_STRINGS(struct sandbox_create, allow, "allow", .max_len = NETWORK_ALLOW_MAX,
                 .item_max = NETWORK_ALLOW_ITEM_MAX),
    JSON_ID(struct sandbox_create, dead_id, "deadId"),
    JSON_STRING(struct sandbox_create, mode, "mode", .one_of = create_modes),
};
SCHEMA(sandbox_create_schema, create_fields);

FIELDS get_fields[] = {
    JSON_ID(struct sandbox_get, sandbox_id, "sandboxId", .required = true),
};
SCHEMA(sandbox_get_schema, get_fields);

FIELDS container_fields[] = {
    JSON_BOOL(struct container_state, running, "running", .required = true),
    JSON_STRING(struct container_state, status, "status", .required = true),
    JSON_INT(struct container_state, exit_code, "exitCode"),
    JSON_STRING(struct container_state, error, "error"),
};
FIELDS info_fields[] = {
    JSON_ID(struct sandbox_info, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct sandbox_info, user_id, "userId", .required = true),
    JSON_ID(struct sandbox_info, api_key_id, "apiKeyId"),
    JSON_STRING(struct sandbox_info, template_name, "template", .required = true),
    JSON_STRING(struct sandbox_info, tier, "tier", .required = true),
    JSON_STRING(struct sandbox_info, network, "network", .required = true),
    JSON_STRING(struct sandbox_info, status, "status", .required = true),
    JSON_STRING(struct sandbox_info, end_reason, "endReason"),
    JSON_STRING(struct sandbox_info, created_at, "createdAt", .required = true),
    JSON_STRING(struct sandbox_info, expires_at, "expiresAt"),
    JSON_STRING(struct sandbox_info, warned_of, "warnedOf"),
    JSON_STRING(struct sandbox_info, ended_at, "endedAt"),
    JSON_OBJECT(struct sandbox_info, metadata, "metadata"),
    JSON_INT(struct sandbox_info, memory_mb, "memoryMB"),
    JSON_INT(struct sandbox_info, cpu_milli, "cpuMilli"),
    JSON_INT(struct sandbox_info, pids, "pids"),
    JSON_INT(struct sandbox_info, disk_mb, "diskMB"),
    JSON_INT(struct sandbox_info, lifetime_hours, "lifetimeHours"),
    JSON_BOOL(struct sandbox_info, has_start, "hasStart",
              JSON_PRESENT(struct sandbox_info, has_start)),
    JSON_STRUCT(struct sandbox_info, container, "container", container_fields, .required = true),
    JSON_BOOL(struct sandbox_info, repeated, "repeated",
              JSON_PRESENT(struct sandbox_info, repeated)),
    JSON_OBJECT(struct sandbox_info, configure, "configure"),
};
SCHEMA(sandbox_info_schema, info_fields);

FIELDS list_fields[] = {
    JSON_ID(struct sandbox_list, user_id, "userId", .required = true),
    JSON_STRING(struct sandbox_list, status, "status", .one_of = sandbox_statuses),
    JSON_INT(struct sandbox_list, limit, "limit", .required = true, .min = 1,
             .max = SANDBOX_LIST_MAX),
    JSON_STRING(struct sandbox_list, cursor, "cursor"),
};
SCHEMA(sandbox_list_schema, list_fields);

FIELDS page_fields[] = {
    JSON_ARRAY(struct sandbox_page, sandboxes, "sandboxes", .required = true),
    JSON_STRING(struct sandbox_page, next_cursor, "nextCursor"),
};
SCHEMA(sandbox_page_schema, page_fields);

FIELDS tier_fields[] = {
    JSON_STRING(struct sandbox_tier, tier, "tier", .required = true),
};
SCHEMA(sandbox_tier_schema, tier_fields);

FIELDS limits_fields[] = {
    JSON_INT(struct sandbox_limits, sandboxes, "sandboxes", .required = true),
    JSON_INT(struct sandbox_limits, memory_mb, "memoryMB", .required = true),
    JSON_INT(struct sandbox_limits, cpu_shares, "cpuShares", .required = true),
    JSON_INT(struct sandbox_limits, lifetime_hours, "lifetimeHours", .required = true),
};
SCHEMA(sandbox_limits_schema, limits_fields);

FIELDS destroy_fields[] = {
    JSON_ID(struct sandbox_destroy, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct sandbox_destroy, user_id, "userId", .required = true),
    JSON_BOOL(struct sandbox_destroy, waits, "wait"),
};
SCHEMA(sandbox_destroy_schema, destroy_fields);

FIELDS agent_connect_fields[] = {
    JSON_ID(struct sandbox_agent_connect, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct sandbox_agent_connect, gateway_id, "gatewayId", .required = true),
    JSON_STRING(struct sandbox_agent_connect, token, "token", .required = true,
                .max_len = AGENT_TOKEN_MAX),
};
SCHEMA(sandbox_agent_connect_schema, agent_connect_fields);

FIELDS agent_welcome_fields[] = {
    JSON_STRING(struct sandbox_agent_welcome, token, "token", .required = true),
    JSON_PAIRS(struct sandbox_agent_welcome, env, "env"),
    JSON_PAIRS(struct sandbox_agent_welcome, files, "files"),
    JSON_STRING(struct sandbox_agent_welcome, profile, "profile", .required = true),
    JSON_STRING(struct sandbox_agent_welcome, work_dir, "workDir"),
    JSON_BOOL(struct sandbox_agent_welcome, work_dir_chosen, "workDirChosen",
              JSON_PRESENT(struct sandbox_agent_welcome, work_dir_chosen)),
    JSON_STRING(struct sandbox_agent_welcome, user, "user"),
    JSON_BOOL(struct sandbox_agent_welcome, user_chosen, "userChosen",
              JSON_PRESENT(struct sandbox_agent_welcome, user_chosen)),
    JSON_OBJECT(struct sandbox_agent_welcome, start, "start"),
};
SCHEMA(sandbox_agent_welcome_schema, agent_welcome_fields);

FIELDS report_fields[] = {
    JSON_ID(struct sandbox_report, gateway_id, "gatewayId", .required = true),
    JSON_STRINGS(struct sandbox_report, connected, "connected", .required = true,
                 .max_len = REPORT_IDS_MAX, .item_max = ID_SIZE - 1),
};
SCHEMA(sandbox_report_schema, report_fields);

FIELDS health_fields[] = {
    JSON_BOOL(struct sandbox_health, postgres, "postgres", .required = true),
    JSON_BOOL(struct sandbox_health, redis, "redis", .required = true),
    JSON_BOOL(struct sandbox_health, docker, "docker", .required = true),
};
SCHEMA(sandbox_health_schema, health_fields);
