#include "common/contracts/auth.h"

bool api_key_normalise(struct view text, char out[API_KEY_SIZE])
{
    enum { PREFIX_LEN = 4 };
    if (text.len != API_KEY_LEN ||
        !(view_starts_with(text, VIEW("isk_")) || view_starts_with(text, VIEW("e2b_")))) {
        return false;
    }
    memcpy(out, "isk_", PREFIX_LEN);
    for (size_t i = PREFIX_LEN; i < API_KEY_LEN; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
        out[i] = c;
    }
    out[API_KEY_LEN] = '\0';
    return true;
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS check_key_fields[] = {
    JSON_STRING(struct auth_check_key, key, "key", .required = true, .max_len = API_KEY_LEN),
};
SCHEMA(auth_check_key_schema, check_key_fields);

FIELDS identity_fields[] = {
    JSON_ID(struct auth_identity, user_id, "userId", .required = true),
    JSON_ID(struct auth_identity, api_key_id, "apiKeyId", .required = true),
    JSON_STRING(struct auth_identity, tier, "tier", .required = true, .max_len = TIER_SIZE - 1),
    JSON_INT(struct auth_identity, expires_at_ms, "expiresAtMs"),
};
SCHEMA(auth_identity_schema, identity_fields);

FIELDS key_ids_fields[] = {
    JSON_STRINGS(struct auth_key_ids, api_key_ids, "apiKeyIds", .required = true,
                 .max_len = AUTH_KEY_IDS_MAX, .item_max = ID_SIZE - 1),
};
SCHEMA(auth_key_ids_schema, key_ids_fields);

FIELDS create_key_fields[] = {
    JSON_STRING(struct auth_create_key, token, "token", .required = true,
                .max_len = AUTH_TOKEN_MAX),
    JSON_STRING(struct auth_create_key, name, "name", .max_len = API_KEY_NAME_MAX),
    JSON_INT(struct auth_create_key, expires_in_days, "expiresInDays"),
};
SCHEMA(auth_create_key_schema, create_key_fields);

FIELDS new_key_fields[] = {
    JSON_ID(struct auth_new_key, id, "id", .required = true),
    JSON_STRING(struct auth_new_key, key, "key", .required = true),
    JSON_STRING(struct auth_new_key, prefix, "prefix", .required = true),
    JSON_STRING(struct auth_new_key, name, "name"),
    JSON_STRING(struct auth_new_key, created_at, "createdAt", .required = true),
    JSON_STRING(struct auth_new_key, expires_at, "expiresAt"),
};
SCHEMA(auth_new_key_schema, new_key_fields);

FIELDS list_keys_fields[] = {
    JSON_STRING(struct auth_list_keys, token, "token", .required = true, .max_len = AUTH_TOKEN_MAX),
};
SCHEMA(auth_list_keys_schema, list_keys_fields);

FIELDS key_list_fields[] = {
    JSON_ARRAY(struct auth_key_list, api_keys, "apiKeys", .required = true),
};
SCHEMA(auth_key_list_schema, key_list_fields);

FIELDS revoke_key_fields[] = {
    JSON_STRING(struct auth_revoke_key, token, "token", .required = true,
                .max_len = AUTH_TOKEN_MAX),
    JSON_ID(struct auth_revoke_key, id, "id", .required = true),
};
SCHEMA(auth_revoke_key_schema, revoke_key_fields);

FIELDS health_fields[] = {
    JSON_BOOL(struct auth_health, postgres, "postgres", .required = true),
    JSON_BOOL(struct auth_health, redis, "redis", .required = true),
};
SCHEMA(auth_health_schema, health_fields);

const struct json_schema empty_schema = {.refuse_unknown = true};
