#include "common/contracts/idempotency.h"

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

enum { STATUS_MIN = 100, STATUS_MAX = 599 };

FIELDS claim_fields[] = {
    JSON_ID(struct idempotency_claim, user_id, "userId", .required = true),
    JSON_STRING(struct idempotency_claim, key, "key", .required = true, .not_empty = true,
                .max_len = IDEMPOTENCY_KEY_MAX),
    JSON_STRING(struct idempotency_claim, request, "request", .required = true,
                .max_len = IDEMPOTENCY_REQUEST_LEN),
    JSON_ID(struct idempotency_claim, claim, "claim", .required = true),
    JSON_INT(struct idempotency_claim, lease_ms, "leaseMs", .required = true, .min = 1,
             .max = IDEMPOTENCY_LEASE_MS_MAX),
};
SCHEMA(idempotency_claim_schema, claim_fields);

FIELDS claimed_fields[] = {
    JSON_ID(struct idempotency_claimed, resource_id, "resourceId", .required = true),
    JSON_BOOL(struct idempotency_claimed, is_again, "isAgain",
              JSON_PRESENT(struct idempotency_claimed, is_again)),
    JSON_INT(struct idempotency_claimed, status, "status", .max = STATUS_MAX),
    JSON_STRING(struct idempotency_claimed, answer, "answer", .max_len = IDEMPOTENCY_ANSWER_MAX),
};
SCHEMA(idempotency_claimed_schema, claimed_fields);

FIELDS finish_fields[] = {
    JSON_ID(struct idempotency_finish, user_id, "userId", .required = true),
    JSON_STRING(struct idempotency_finish, key, "key", .required = true, .not_empty = true,
                .max_len = IDEMPOTENCY_KEY_MAX),
    JSON_STRING(struct idempotency_finish, request, "request", .required = true,
                .max_len = IDEMPOTENCY_REQUEST_LEN),
    JSON_ID(struct idempotency_finish, claim, "claim", .required = true),
    JSON_INT(struct idempotency_finish, status, "status", .required = true, .min = STATUS_MIN,
             .max = STATUS_MAX),
    JSON_STRING(struct idempotency_finish, answer, "answer", .required = true,
                .max_len = IDEMPOTENCY_ANSWER_MAX),
};
SCHEMA(idempotency_finish_schema, finish_fields);

FIELDS release_fields[] = {
    JSON_ID(struct idempotency_release, user_id, "userId", .required = true),
    JSON_STRING(struct idempotency_release, key, "key", .required = true, .not_empty = true,
                .max_len = IDEMPOTENCY_KEY_MAX),
    JSON_ID(struct idempotency_release, claim, "claim", .required = true),
    JSON_BOOL(struct idempotency_release, keeps_id, "keepsId"),
};
SCHEMA(idempotency_release_schema, release_fields);
