#include "sandbox-service/config.h"

#include "common/base/log.h"
#include "common/contracts/quota.h"
#include "common/contracts/volumes.h"
#include "sandbox-service/network/rules.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DOCKER_SCHEME "unix://"

enum {
    NODE_MEMORY_MB_MAX = 1024 * 1024 * 1024,
    TIER_LIFETIME_H_MAX = 24 * 365,
    TIER_VOLUMES_MAX = 10000,
    KEEP_DAYS_MAX = 100 * 365,
    PERSONAL_KEEP_DAYS_LEAST = 30, /* as audit_forget_personal has it */
    AGENT_LOST_AFTER_S_MAX = 24 * 3600,
    UNKNOWN_AFTER_S_MAX = 30 * 24 * 3600,
    RATE_KBYTES_MAX = 4 * 1024 * 1024, /* what the kernel's limit can count */
};

#define TEXT(name_, member, ...)                                                                   \
    {                                                                                              \
        .name = (name_), .kind = CONFIG_TEXT, CONFIG_CHARS(struct sandbox_config, member),         \
        __VA_ARGS__                                                                                \
    }
#define INT(name_, member, fallback_, min_, max_)                                                  \
    {                                                                                              \
        .name = (name_), .kind = CONFIG_INT, .offset = offsetof(struct sandbox_config, member),    \
        .fallback = (fallback_), .min = (min_), .max = (max_)                                      \
    }
#define SECRET(name_, member, ...)                                                                 \
    {                                                                                              \
        .name = (name_), .kind = CONFIG_SECRET, CONFIG_CHARS(struct sandbox_config, member),       \
        __VA_ARGS__                                                                                \
    }
#define TIER(NAME, tier, count, memory, cpu, pids_, disk, life, volumes_, volume_mb_,              \
             snapshot_mb_)                                                                         \
    INT("TIER_" NAME "_SANDBOXES", tiers[tier].sandboxes, count, 0, 100000),                       \
        INT("TIER_" NAME "_MEMORY_MB", tiers[tier].memory_mb, memory, LIMIT_MEMORY_MB_MIN,         \
            LIMIT_MEMORY_MB_MAX),                                                                  \
        INT("TIER_" NAME "_CPU_MILLI", tiers[tier].cpu_milli, cpu, LIMIT_CPU_MILLI_MIN,            \
            LIMIT_CPU_MILLI_MAX),                                                                  \
        INT("TIER_" NAME "_PIDS", tiers[tier].pids, pids_, LIMIT_PIDS_MIN, LIMIT_PIDS_MAX),        \
        INT("TIER_" NAME "_DISK_MB", tiers[tier].disk_mb, disk, LIMIT_DISK_MB_MIN,                 \
            LIMIT_DISK_MB_MAX),                                                                    \
        INT("TIER_" NAME "_LIFETIME_H", tiers[tier].lifetime_hours, life, 1, TIER_LIFETIME_H_MAX), \
        INT("TIER_" NAME "_VOLUMES", tiers[tier].volumes, volumes_, 0, TIER_VOLUMES_MAX),          \
        INT("TIER_" NAME "_VOLUME_MB", tiers[tier].volume_mb, volume_mb_, 0, VOLUME_SIZE_MB_MAX),  \
        INT("TIER_" NAME "_SNAPSHOT_MB", tiers[tier].snapshot_mb, snapshot_mb_, 0,                 \
            VOLUME_SIZE_MB_MAX)

static const struct config_item items[] = {
    TEXT("INSIEN_RUN_DIR", run_dir, .fallback = "/run/insien"),
    TEXT("INSIEN_INSTANCE", instance, .fallback = "insien"),
    TEXT("LOG_LEVEL", log_level, .fallback = "info"),
    SECRET("DATABASE_URL", database_url, .required = true, .is_url = true),
    SECRET("REDIS_URL", redis_url, .fallback = "unix:///run/insien/redis.sock", .is_url = true),
    TEXT("SANDBOX_LISTEN", listen),
    TEXT("IPC_CA_FILE", ipc_ca),
    TEXT("IPC_CERT_FILE", ipc_certificate),
    TEXT("IPC_KEY_FILE", ipc_key),
    TEXT("DOCKER_HOST", docker_host, .fallback = DOCKER_SCHEME "/var/run/docker.sock"),
    SECRET("AGENT_JWT_SECRET", agent_jwt_secret, .required = true, .is_signing_key = true),
    SECRET("SECRETS_KEY", secrets_key),
    SECRET("SECRETS_OLD_KEYS", secrets_old_keys),
    TEXT("VOLUMES_DIR", volumes_dir, .fallback = "/var/lib/insien/volumes"),
    INT("VOLUMES_RESERVE_MB", volumes_reserve_mb, "1024", 0, VOLUME_SIZE_MB_MAX),
    TEXT("AGENT_BUNDLE", agent_bundle),
    TEXT("SECCOMP_PROFILE", seccomp_profile),
    TEXT("SERVICE_USER", service_user, .fallback = "insien"),
    TEXT("NODE_NAME", node_name, .fallback = "node-1"),
    TEXT("SANDBOX_DEFAULT_NETWORK", default_network, .fallback = "open"),
    TEXT("SANDBOX_SUBNET", subnet, .fallback = "10.200.0.0/20"),
    TEXT("SANDBOX_RESTRICTED_SUBNET", restricted_subnet),
    TEXT("SANDBOX_BLOCKED_CIDRS", blocked_text),
    TEXT("TEMPLATE_BUILDS", template_builds, .fallback = "off"),
    TEXT("TEMPLATE_LOCAL_IMAGES", template_local_images,
         .fallback = "insien/base,insien/tiny,insien/python,insien/node,insien/go,insien/rust,"
                     "insien/java,insien/cpp,debian"),
    TEXT("TEMPLATE_REGISTRIES", template_registries, .fallback = "docker.io,ghcr.io,quay.io"),
    TEXT("TEMPLATE_RUNTIMES", template_runtimes),
    INT("TEMPLATES_PER_USER", templates_per_user, "20", 0, 10000),
    INT("TEMPLATE_TIMEOUT_S", template_timeout_s, "1800", 10, 86400),
    INT("TEMPLATE_IMAGE_MB", template_image_mb, "8192", 1, 1048576),
    INT("TEMPLATE_FOLDER_MB", template_folder_mb, "32", 1, 512),
    INT("TEMPLATE_CONCURRENCY", template_concurrency, "1", 1, 16),
    TEXT("WEBHOOK_ALLOWED_CIDRS", webhook_allowed_text),
    INT("EVENT_RETENTION_DAYS", events_keep_days, "30", 1, EVENTS_KEEP_DAYS_MAX),
    INT("TIER_FREE_RATE_KBYTES", rate_kbytes[TIER_FREE], "0", 0, RATE_KBYTES_MAX),
    INT("TIER_PRO_RATE_KBYTES", rate_kbytes[TIER_PRO], "0", 0, RATE_KBYTES_MAX),
    INT("TIER_ENTERPRISE_RATE_KBYTES", rate_kbytes[TIER_ENTERPRISE], "0", 0, RATE_KBYTES_MAX),
    INT("START_CONCURRENCY", start_concurrency, "4", 1, 64),
    INT("RECONCILE_INTERVAL_S", reconcile_interval_s, "15", 1, 3600),
    TEXT("RECONCILE_UNKNOWN", reconcile_unknown, .fallback = "keep"),
    INT("RECONCILE_UNKNOWN_AFTER_S", reconcile_unknown_after_s, "3600", 0, UNKNOWN_AFTER_S_MAX),
    INT("SANDBOX_WARN_BEFORE_S", warn_before_s, "60", 0, 3600),
    INT("NODE_MEMORY_MB", node_memory_mb, "0", 0, NODE_MEMORY_MB_MAX),
    INT("TOTAL_MEMORY_MB", total_memory_mb, "0", 0, NODE_MEMORY_MB_MAX),
    INT("DISK_CHECK_S", disk_check_s, "10", 0, 3600),
    INT("NODE_FREE_DISK_MB", free_disk_mb, "1024", 0, LIMIT_DISK_MB_MAX),
    INT("SANDBOX_KEEP_DAYS", sandbox_keep_days, "90", 0, KEEP_DAYS_MAX),
    INT("IMAGE_KEEP_DAYS", image_keep_days, "14", 0, KEEP_DAYS_MAX),
    INT("AUDIT_PERSONAL_DAYS", personal_keep_days, "0", 0, KEEP_DAYS_MAX),
    TEXT("DOCKER_DATA_DIR", docker_data_dir),
    TEXT("SANDBOX_CPUSET", cpuset, .fallback = "on"),
    TEXT("LXCFS_DIR", lxcfs_dir, .fallback = "/var/lib/lxcfs"),
    INT("AGENT_LOST_AFTER_S", agent_lost_after_s, "120", 1, AGENT_LOST_AFTER_S_MAX),
    TEXT("WARM_POOLS", warm_pools_text, .fallback = "base=2"),
    INT("WARM_POOL_MAX", warm_pool_max, "4", 0, POOL_COUNT_MAX),
    INT("WARM_POOL_MEMORY_MB", warm_pool_memory_mb, "0", 0, NODE_MEMORY_MB_MAX),
    INT("WARM_POOL_CONCURRENCY", warm_pool_concurrency, "1", 1, 64),
    TIER("FREE", TIER_FREE, "2", "512", "1000", "256", "2048", "2", "2", "2048", "4096"),
    TIER("PRO", TIER_PRO, "10", "1024", "2000", "1024", "10240", "24", "10", "20480", "40960"),
    TIER("ENTERPRISE", TIER_ENTERPRISE, "50", "2048", "4000", "4096", "20480", "168", "50",
         "204800", "409600"),
};

/* One mistake that the table can't see. */
static bool complain(const char *variable, const char *problem)
{
    log_error("config.invalid", LOG_STR("variable", variable), LOG_STR("error", problem));
    return false;
}

static bool check_log_level(const struct sandbox_config *config)
{
    enum log_level level;
    return log_level_parse(view_of(config->log_level), &level) ||
           complain("LOG_LEVEL", "must be debug, info, warn or error");
}

static bool check_instance(const struct sandbox_config *config)
{
    const char *name = config->instance;
    bool ok = name[0] != '-';
    for (const char *c = name; *c != '\0'; c++) {
        ok = ok && ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-');
    }
    return ok || complain("INSIEN_INSTANCE", "must be of a-z, 0-9 and - and not begin with -");
}

static bool check_network(const struct sandbox_config *config)
{
    return strcmp(config->default_network, "open") == 0 ||
           strcmp(config->default_network, "none") == 0 ||
           complain("SANDBOX_DEFAULT_NETWORK", "must be open or none");
}

static bool check_unknown(const struct sandbox_config *config)
{
    return strcmp(config->reconcile_unknown, "keep") == 0 ||
           strcmp(config->reconcile_unknown, "remove") == 0 ||
           complain("RECONCILE_UNKNOWN", "must be keep or remove");
}

static bool check_cpuset(const struct sandbox_config *config)
{
    return strcmp(config->cpuset, "on") == 0 || strcmp(config->cpuset, "off") == 0 ||
           complain("SANDBOX_CPUSET", "must be on or off");
}

static bool check_lxcfs(const struct sandbox_config *config)
{
    return config->lxcfs_dir[0] == '/' || strcmp(config->lxcfs_dir, "none") == 0 ||
           complain("LXCFS_DIR", "must be an absolute path, or none");
}

static bool check_builds(const struct sandbox_config *config)
{
    return strcmp(config->template_builds, "on") == 0 ||
           strcmp(config->template_builds, "off") == 0 ||
           complain("TEMPLATE_BUILDS", "must be on or off");
}

static bool check_data_dir(const struct sandbox_config *config)
{
    return config->docker_data_dir[0] == '\0' || config->docker_data_dir[0] == '/' ||
           complain("DOCKER_DATA_DIR", "must be an absolute path");
}

static bool check_subnet(const struct sandbox_config *config)
{
    struct cidr subnet;
    return (cidr_parse(view_of(config->subnet), &subnet) && subnet.bits >= 8 &&
            subnet.bits <= 28) ||
           complain("SANDBOX_SUBNET", "must be a range such as 10.200.0.0/20, from /8 to /28");
}

static bool overlap(const struct cidr *a, const struct cidr *b)
{
    return cidr_contains(a, b->address) || cidr_contains(b, a->address);
}

/* Of the same size, right behind the other; unless the private range ends there: somebody has the
 * addresses behind it. */
static bool choose_restricted(struct sandbox_config *config, const struct cidr *subnet)
{
    struct cidr next = *subnet;
    next.address += 1U << (32U - subnet->bits);
    cidr_format(&next, config->restricted_subnet);
    return rules_is_closed_range(&next) ||
           complain("SANDBOX_RESTRICTED_SUBNET",
                    "must be set: the range behind SANDBOX_SUBNET is not a private one");
}

static bool check_restricted(struct sandbox_config *config)
{
    struct cidr subnet;
    struct cidr restricted;
    if (!cidr_parse(view_of(config->subnet), &subnet)) {
        return true; /* complained of already */
    }
    if (config->restricted_subnet[0] == '\0') {
        return choose_restricted(config, &subnet);
    }
    return (cidr_parse(view_of(config->restricted_subnet), &restricted) && restricted.bits >= 8 &&
            restricted.bits <= 28 && !overlap(&subnet, &restricted)) ||
           complain("SANDBOX_RESTRICTED_SUBNET",
                    "must be a range from /8 to /28 beside SANDBOX_SUBNET");
}

static bool add_blocked(struct sandbox_config *config, struct view text)
{
    struct cidr range;
    if (text.len == 0) {
        return true;
    }
    if (config->blocked_count == BLOCKED_CIDRS_MAX || !cidr_parse(text, &range)) {
        return complain("SANDBOX_BLOCKED_CIDRS",
                        "must be at most 32 ranges such as 10.1.0.0/16, separated by commas");
    }
    cidr_format(&range, config->blocked[config->blocked_count++]);
    return true;
}

static bool add_webhook_range(struct sandbox_config *config, struct view text)
{
    struct cidr range;
    if (text.len == 0) {
        return true;
    }
    if (config->webhook_allowed_count == WEBHOOK_CIDRS_MAX || !cidr_parse(text, &range)) {
        return complain("WEBHOOK_ALLOWED_CIDRS",
                        "must be at most 32 ranges such as 10.1.0.0/16, separated by commas");
    }
    config->webhook_allowed[config->webhook_allowed_count++] = range;
    return true;
}

static bool split(struct sandbox_config *config, const char *text,
                  bool (*add)(struct sandbox_config *config, struct view text))
{
    const char *at = text;
    for (;;) {
        size_t len = strcspn(at, ",");
        if (!add(config, (struct view){at, len})) {
            return false;
        }
        if (at[len] == '\0') {
            return true;
        }
        at += len + 1;
    }
}

/* What is personal is not forgotten sooner than records are of use. */
static bool check_personal(const struct sandbox_config *config)
{
    return config->personal_keep_days == 0 ||
           config->personal_keep_days >= PERSONAL_KEEP_DAYS_LEAST ||
           complain("AUDIT_PERSONAL_DAYS", "must be 0, or 30 and more");
}

static bool check_volumes_dir(const struct sandbox_config *config)
{
    enum { LONGEST = 200 }; /* with what lies below it is still a path for the engine */
    return (config->volumes_dir[0] == '/' && strlen(config->volumes_dir) <= LONGEST) ||
           complain("VOLUMES_DIR", "must be an absolute path of at most 200 bytes");
}

static bool split_warm_pools(struct sandbox_config *config)
{
    const char *problem;
    return pool_kinds_read(config->warm_pools_text, config->default_network, &config->warm_pools,
                           &problem) ||
           complain("WARM_POOLS", problem);
}

static bool check_docker_host(const struct sandbox_config *config)
{
    return view_starts_with(view_of(config->docker_host), VIEW(DOCKER_SCHEME "/")) ||
           complain("DOCKER_HOST", "must be unix:///path/of/the/engine's.sock");
}

/* What is installed beside the program serves unless something else is named. */
static bool find_installed(const char *variable, const char *file, char out[CONFIG_PATH_SIZE])
{
    char program[PATH_MAX];
    if (out[0] != '\0') {
        return true;
    }
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    program[len < 0 ? 0 : len] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(program, '/');
        *(slash == NULL ? program : slash) = '\0';
    }
    int length = snprintf(out, CONFIG_PATH_SIZE, "%.200s/share/insien/%s", program, file);
    return (length > 0 && length < CONFIG_PATH_SIZE && access(out, R_OK) == 0) ||
           complain(variable, "is not set, and there is none beside the program");
}

bool sandbox_config_read(struct sandbox_config *config, struct err *err)
{
    bool ok = config_read(items, sizeof items / sizeof items[0], config, err);
    ok &= check_log_level(config);
    ok &= check_instance(config);
    ok &= check_network(config);
    ok &= check_cpuset(config);
    ok &= check_lxcfs(config);
    ok &= check_builds(config);
    ok &= check_unknown(config);
    ok &= check_data_dir(config);
    ok &= check_subnet(config);
    ok &= split(config, config->blocked_text, add_blocked);
    ok &= split(config, config->webhook_allowed_text, add_webhook_range);
    ok &= check_restricted(config);
    ok &= split_warm_pools(config);
    ok &= check_docker_host(config);
    ok &= check_personal(config);
    ok &= check_volumes_dir(config);
    ok &= find_installed("AGENT_BUNDLE", "insien-agent.tar", config->agent_bundle);
    ok &= find_installed("SECCOMP_PROFILE", "seccomp.json", config->seccomp_profile);
    return ok || err_set(err, ERR_INVALID, "some settings are wrong");
}

const char *sandbox_config_docker_socket(const struct sandbox_config *config)
{
    return config->docker_host + strlen(DOCKER_SCHEME);
}

void sandbox_config_forget_environment(void)
{
    config_forget_environment(items, sizeof items / sizeof items[0]);
}
