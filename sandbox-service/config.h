/* sandbox-service/config.h: the settings of insien-sandbox. */
#ifndef SANDBOX_CONFIG_H
#define SANDBOX_CONFIG_H

#include "common/base/config.h"
#include "sandbox-service/network/cidr.h"
#include "sandbox-service/pool/targets.h"
#include "sandbox-service/sandbox/tiers.h"

enum {
    INSTANCE_SIZE = 21, /* short: with "INSIEN-" before it, it names a chain of the firewall */
    NODE_NAME_SIZE = 64,
    BLOCKED_CIDRS_MAX = 32,
    WEBHOOK_CIDRS_MAX = 32,
    EVENTS_KEEP_DAYS_MAX = 3650,
};

struct sandbox_config {
    char run_dir[CONFIG_PATH_SIZE];
    char instance[INSTANCE_SIZE];
    char log_level[8];
    char database_url[CONFIG_TEXT_SIZE];
    char redis_url[CONFIG_TEXT_SIZE];
    char docker_host[CONFIG_PATH_SIZE];     /* "unix:///..." */
    char listen[CONFIG_PATH_SIZE];          /* for the gateway; empty: the socket in run_dir */
    char ipc_ca[CONFIG_PATH_SIZE];          /* common/ipc/tls.h */
    char ipc_certificate[CONFIG_PATH_SIZE]; /* the same */
    char ipc_key[CONFIG_PATH_SIZE];         /* the same */
    char agent_jwt_secret[CONFIG_TEXT_SIZE];
    char secrets_key[CONFIG_TEXT_SIZE];
    char secrets_old_keys[CONFIG_TEXT_SIZE]; /* separated by commas */
    char volumes_dir[CONFIG_PATH_SIZE];
    int64_t volumes_reserve_mb;
    char agent_bundle[CONFIG_PATH_SIZE];
    char seccomp_profile[CONFIG_PATH_SIZE];
    char service_user[33];
    char node_name[NODE_NAME_SIZE];
    char default_network[8]; /* "open", "none" */
    char subnet[CIDR_TEXT_SIZE];
    char restricted_subnet[CIDR_TEXT_SIZE]; /* empty in the environment: the one behind subnet */
    int64_t rate_kbytes[TIER_COUNT];        /* a second, each way, of one sandbox; 0: no limit */
    char blocked_text[CONFIG_TEXT_SIZE];
    char blocked[BLOCKED_CIDRS_MAX][CIDR_TEXT_SIZE]; /* blocked_text, checked and taken apart */
    size_t blocked_count;
    char webhook_allowed_text[CONFIG_TEXT_SIZE];
    struct cidr webhook_allowed[WEBHOOK_CIDRS_MAX]; /* webhook_allowed_text, the same way */
    size_t webhook_allowed_count;
    int64_t events_keep_days;
    int64_t start_concurrency;
    int64_t reconcile_interval_s;
    char reconcile_unknown[8]; /* "keep", "remove" */
    int64_t reconcile_unknown_after_s;
    int64_t agent_lost_after_s;
    int64_t node_memory_mb;  /* that may be promised; 0: by what the engine has */
    int64_t total_memory_mb; /* the same of all nodes of the instance; 0: no bound */
    int64_t disk_check_s;    /* between two looks at a sandbox's disk; 0: never */
    int64_t free_disk_mb;    /* less than that is left where the engine keeps its data: no create */
    int64_t sandbox_keep_days; /* ended ones are known; 0: for ever */
    int64_t image_keep_days;   /* images that nothing names are kept so long after they were made */
    int64_t personal_keep_days; /* what the audit trail has of persons; 0 (as above): for ever */
    char docker_data_dir[CONFIG_PATH_SIZE]; /* seen from here; empty: as the engine says */
    char cpuset[4]; /* "on": sandboxes are bound to processors, so that nproc is true */
    char lxcfs_dir[CONFIG_PATH_SIZE]; /* "none": not used */
    int64_t warn_before_s;            /* how long before its end a sandbox's clients hear of it */
    char template_builds[4];          /* "on", "off" */
    char template_local_images[CONFIG_TEXT_SIZE]; /* templates/fetch.h */
    char template_registries[CONFIG_TEXT_SIZE];   /* the same */
    char template_runtimes[CONFIG_TEXT_SIZE];     /* that users may ask for, with commas */
    int64_t templates_per_user;
    int64_t template_timeout_s; /* of the making of one */
    int64_t template_image_mb;  /* at most, of one */
    int64_t template_folder_mb; /* the same, of what is built from */
    int64_t template_concurrency;
    struct tier_limits tiers[TIER_COUNT];
    char warm_pools_text[CONFIG_TEXT_SIZE];
    struct pool_kinds warm_pools; /* warm_pools_text, checked and taken apart */
    int64_t warm_pool_max;        /* this and the next: of struct pool_bounds */
    int64_t warm_pool_memory_mb;
    int64_t warm_pool_concurrency; /* containers that are started for the pools at a time */
};

/* Reads and checks the environment. Mistakes are in the log when this returns false. */
bool sandbox_config_read(struct sandbox_config *config, struct err *err) MUST_CHECK;
/* The secrets are no longer in the environment behind this. */
void sandbox_config_forget_environment(void);

/* The path of the engine's socket, within config. */
const char *sandbox_config_docker_socket(const struct sandbox_config *config);

#endif
