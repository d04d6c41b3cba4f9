#include "common/contracts/system.h"

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS answer_fields[] = {
    JSON_OBJECT(struct system_answer, answer, "answer", .required = true),
};
SCHEMA(system_answer_schema, answer_fields);

FIELDS drain_fields[] = {
    JSON_ID(struct system_drain, admin_id, "adminId", .required = true),
    JSON_ID(struct system_drain, admin_key_id, "adminKeyId"),
    JSON_BOOL(struct system_drain, draining, "draining", .required = true),
    JSON_STRING(struct system_drain, reason, "reason", .max_len = SYSTEM_REASON_BYTES_MAX),
};
SCHEMA(system_drain_schema, drain_fields);

FIELDS cleanup_fields[] = {
    JSON_ID(struct system_cleanup, admin_id, "adminId", .required = true),
    JSON_ID(struct system_cleanup, admin_key_id, "adminKeyId"),
    JSON_BOOL(struct system_cleanup, dry_run, "dryRun", .required = true),
    JSON_BOOL(struct system_cleanup, unknown, "unknown"),
};
SCHEMA(system_cleanup_schema, cleanup_fields);
