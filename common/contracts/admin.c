#include "common/contracts/admin.h"

#include "common/contracts/sandbox.h"

const char *const admin_tiers[] = {"free", "pro", "enterprise", NULL};
const char *const admin_user_statuses[] = {"active", "suspended", "deleted", NULL};

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}
#define LIMIT(type)                                                                                \
    JSON_INT(type, limit, "limit", .required = true, .min = 1, .max = ADMIN_PAGE_MAX)
#define CURSOR(type) JSON_STRING(type, cursor, "cursor", .max_len = ADMIN_CURSOR_MAX)

FIELDS page_fields[] = {
    JSON_ARRAY(struct admin_page, items, "items", .required = true),
    JSON_STRING(struct admin_page, next_cursor, "nextCursor"),
};
SCHEMA(admin_page_schema, page_fields);

FIELDS list_users_fields[] = {
    JSON_STRING(struct admin_list_users, email, "email", .max_len = ADMIN_EMAIL_MAX),
    JSON_STRING(struct admin_list_users, tier, "tier", .one_of = admin_tiers),
    JSON_STRING(struct admin_list_users, status, "status", .one_of = admin_user_statuses),
    LIMIT(struct admin_list_users),
    CURSOR(struct admin_list_users),
};
SCHEMA(admin_list_users_schema, list_users_fields);

FIELDS list_keys_fields[] = {
    JSON_ID(struct admin_list_keys, user_id, "userId"),
    LIMIT(struct admin_list_keys),
    CURSOR(struct admin_list_keys),
};
SCHEMA(admin_list_keys_schema, list_keys_fields);

FIELDS change_user_fields[] = {
    JSON_ID(struct admin_change_user, admin_id, "adminId", .required = true),
    JSON_ID(struct admin_change_user, admin_key_id, "adminKeyId"),
    JSON_ID(struct admin_change_user, user_id, "userId", .required = true),
    JSON_STRING(struct admin_change_user, tier, "tier", .one_of = admin_tiers),
    JSON_BOOL(struct admin_change_user, suspended, "suspended",
              JSON_PRESENT(struct admin_change_user, sets_suspended)),
    JSON_STRING(struct admin_change_user, reason, "reason", .max_len = ADMIN_REASON_BYTES_MAX),
};
SCHEMA(admin_change_user_schema, change_user_fields);

FIELDS user_fields[] = {
    JSON_OBJECT(struct admin_user, user, "user", .required = true),
};
SCHEMA(admin_user_schema, user_fields);

FIELDS revoke_key_fields[] = {
    JSON_ID(struct admin_revoke_key, admin_id, "adminId", .required = true),
    JSON_ID(struct admin_revoke_key, admin_key_id, "adminKeyId"),
    JSON_ID(struct admin_revoke_key, id, "id", .required = true),
};
SCHEMA(admin_revoke_key_schema, revoke_key_fields);

FIELDS list_sandboxes_fields[] = {
    JSON_ID(struct admin_list_sandboxes, user_id, "userId"),
    JSON_STRING(struct admin_list_sandboxes, status, "status", .one_of = sandbox_statuses),
    LIMIT(struct admin_list_sandboxes),
    CURSOR(struct admin_list_sandboxes),
};
SCHEMA(admin_list_sandboxes_schema, list_sandboxes_fields);

FIELDS destroy_sandbox_fields[] = {
    JSON_ID(struct admin_destroy_sandbox, admin_id, "adminId", .required = true),
    JSON_ID(struct admin_destroy_sandbox, sandbox_id, "sandboxId", .required = true),
};
SCHEMA(admin_destroy_sandbox_schema, destroy_sandbox_fields);
