/* sandbox-service/sandbox/store_statements.h: the SQL of the store, one table, and the columns that
 * its statements return. For store.c and system/store.c alone; what others read of a row stands in
 * their headers. */
#ifndef SANDBOX_SANDBOX_STORE_STATEMENTS_H
#define SANDBOX_SANDBOX_STORE_STATEMENTS_H

#include "sandbox-service/sandbox/store.h"

#include <stddef.h>

extern const struct pg_statement store_statements[];
extern const size_t store_statement_count;

/* The columns in the order in which the statements name them: INFO of INFO_COLUMNS, the ones that
 * begin at INFO_COUNT of the statements that return more than those. */
enum info_column {
    INFO_ID,
    INFO_USER_ID,
    INFO_API_KEY_ID,
    INFO_TEMPLATE,
    INFO_TIER,
    INFO_NETWORK,
    INFO_STATUS,
    INFO_END_REASON,
    INFO_CREATED_AT,
    INFO_EXPIRES_AT,
    INFO_ENDED_AT,
    INFO_METADATA,
    INFO_MEMORY_MB,
    INFO_CPU_MILLI,
    INFO_LIFETIME_HOURS,
    INFO_CONTAINER_RUNNING,
    INFO_CONTAINER_STATUS,
    INFO_EXIT_CODE,
    INFO_CONTAINER_ERROR,
    INFO_PIDS,
    INFO_DISK_MB,
    INFO_HAS_START,
    INFO_WARNED_OF,
    INFO_COUNT,
};
enum {
    BEGUN_IMAGE = INFO_COUNT,
    BEGUN_PROFILE,
    BEGUN_READ_ONLY_ROOT,
    BEGUN_CPUS,
    BEGUN_RUNTIME,
    BEGUN_IS_WARM,
    BEGUN_GENERATION,
    BEGUN_ENV,
    BEGUN_WORK_DIR,
    BEGUN_WORK_DIR_CHOSEN,
    BEGUN_USER,
    BEGUN_USER_CHOSEN,
    BEGUN_ALLOW,
    BEGUN_LIMITS_DIFFER,
    BEGUN_VOLUMES,
    BEGUN_SECRETS,
};
enum {
    WARM_ID,
    WARM_NETWORK,
    WARM_IMAGE,
    WARM_PROFILE,
    WARM_READ_ONLY_ROOT,
    WARM_MEMORY_MB,
    WARM_CPU_MILLI,
    WARM_PIDS,
    WARM_DISK_MB,
    WARM_CPUS,
    WARM_RUNTIME,
};
enum { LIST_CREATED_US = INFO_COUNT };
enum { LIVE_ID, LIVE_STATUS, LIVE_ON_DISK, LIVE_NETWORK };
enum { DISK_ID, DISK_LIMIT_MB }; /* the id is where store_read_id looks */
enum {
    USAGE_TIER,
    USAGE_SANDBOXES,
    USAGE_MEMORY_MB,
    USAGE_CPU_MILLI,
    USAGE_DISK_MB,
    USAGE_KEY_SANDBOXES,
    USAGE_KEY_MOST,
};
enum { DESTROY_MOVED, DESTROY_ID };
enum {
    CONNECT_STATUS,
    CONNECT_ACCEPTED,
    CONNECT_ENV,
    CONNECT_PROFILE,
    CONNECT_WORK_DIR,
    CONNECT_USER,
    CONNECT_COMES,
    CONNECT_WORK_DIR_CHOSEN,
    CONNECT_START,
    CONNECT_SECRETS,
    CONNECT_USER_CHOSEN,
};

#endif
