#include "common/contracts/auth.h"

#include "common/base/encode.h"
#include "common/json/write.h"

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

static const struct {
    unsigned scope;
    struct view name;
} known_scopes[] = {
    {AUTH_SANDBOX_READ, VIEW("sandbox:read")},
    {AUTH_SANDBOX_WRITE, VIEW("sandbox:write")},
    {AUTH_EXEC, VIEW("exec")},
    {AUTH_FILES, VIEW("files")},
    {AUTH_KEYS, VIEW("keys")},
    {AUTH_ADMIN, VIEW("admin")},
};
enum { SCOPE_COUNT = sizeof known_scopes / sizeof known_scopes[0] };

const char *auth_scope_name(unsigned scope)
{
    size_t i = 0;
    while (i < SCOPE_COUNT - 1 && known_scopes[i].scope != scope) {
        i++;
    }
    return known_scopes[i].name.ptr;
}

unsigned auth_scope_find(struct view name)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if (view_equal(name, known_scopes[i].name)) {
            return known_scopes[i].scope;
        }
    }
    return 0;
}

bool auth_scope_check(struct view name, const char **problem)
{
    *problem = "must be one of: sandbox:read, sandbox:write, exec, files, keys, admin";
    return auth_scope_find(name) != 0;
}

void auth_scopes_write(struct json_writer *writer, const char *name, unsigned scopes)
{
    json_begin_array(writer, name);
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if ((scopes & known_scopes[i].scope) != 0) {
            json_string(writer, NULL, known_scopes[i].name);
        }
    }
    json_end_array(writer);
}

static bool read_key_limit(struct view item, struct auth_key_limit *out)
{
    enum { DIGITS_MAX = 7 };
    struct view id = view_cut(&item, ':');
    out->requests_per_minute = 0;
    for (size_t i = 0; i < item.len; i++) {
        if (item.ptr[i] < '0' || item.ptr[i] > '9' || i >= DIGITS_MAX) {
            return false;
        }
        out->requests_per_minute = out->requests_per_minute * 10 + (item.ptr[i] - '0');
    }
    return id_parse(id, out->api_key_id) && out->requests_per_minute > 0 &&
           out->requests_per_minute <= API_KEY_LIMIT_MAX;
}

bool auth_key_limits_read(struct view text, struct auth_key_limits *out, struct err *err)
{
    out->count = 0;
    while (text.len > 0) {
        struct view item = view_cut(&text, ',');
        if (out->count >= AUTH_KEY_LIMITS_MAX || !read_key_limit(item, &out->items[out->count++])) {
            return err_set(err, ERR_INTERNAL, "the limits of a key could not be read");
        }
    }
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
    JSON_ID(struct auth_identity, api_key_id, "apiKeyId"),
    JSON_ID(struct auth_identity, sandbox_id, "sandboxId"),
    JSON_STRING(struct auth_identity, session_id, "sessionId", .max_len = AUTH_SESSION_ID_MAX),
    JSON_STRING(struct auth_identity, impersonator, "impersonator", .max_len = AUTH_SESSION_ID_MAX),
    JSON_STRING(struct auth_identity, tier, "tier", .required = true, .max_len = TIER_SIZE - 1),
    JSON_INT(struct auth_identity, expires_at_ms, "expiresAtMs"),
    JSON_INT(struct auth_identity, scopes, "scopes", .required = true, .min = 0,
             .max = AUTH_SCOPES_ALL),
    JSON_INT(struct auth_identity, max_sandboxes, "maxSandboxes"),
    JSON_INT(struct auth_identity, requests_per_minute, "requestsPerMinute"),
    JSON_BOOL(struct auth_identity, is_admin, "isAdmin"),
    JSON_BOOL(struct auth_identity, watch_session, "watchSession"),
    JSON_INT(struct auth_identity, return_at_ms, "returnAtMs"),
    JSON_STRING(struct auth_identity, key_limits, "keyLimits", .max_len = AUTH_KEY_LIMITS_SIZE - 1),
};
SCHEMA(auth_identity_schema, identity_fields);

FIELDS check_session_fields[] = {
    JSON_STRING(struct auth_check_session, token, "token", .required = true,
                .max_len = AUTH_TOKEN_MAX),
};
SCHEMA(auth_check_session_schema, check_session_fields);

FIELDS session_ids_fields[] = {
    JSON_STRINGS(struct auth_session_ids, session_ids, "sessionIds", .required = true,
                 .max_len = AUTH_SESSION_IDS_MAX, .item_max = AUTH_SESSION_ID_MAX),
};
SCHEMA(auth_session_ids_schema, session_ids_fields);

bool auth_is_client_token(struct view text)
{
    return view_starts_with(text, VIEW(CLIENT_TOKEN_HEADER "."));
}

FIELDS make_token_fields[] = {
    JSON_ID(struct auth_make_token, user_id, "userId", .required = true),
    JSON_ID(struct auth_make_token, actor_key_id, "actorKeyId"),
    JSON_STRING(struct auth_make_token, session_id, "sessionId", .max_len = AUTH_SESSION_ID_MAX),
    JSON_STRING(struct auth_make_token, impersonator, "impersonator",
                .max_len = AUTH_SESSION_ID_MAX),
    JSON_BOOL(struct auth_make_token, watch_session, "watchSession"),
    JSON_ID(struct auth_make_token, sandbox_id, "sandboxId", .required = true),
    JSON_STRING(struct auth_make_token, sandbox_ends_at, "sandboxEndsAt"),
    JSON_INT(struct auth_make_token, scopes, "scopes", .required = true, .min = 1,
             .max = AUTH_SCOPES_CLIENT),
    JSON_INT(struct auth_make_token, ttl_s, "ttlS", .required = true, .min = 1,
             .max = CLIENT_TOKEN_TTL_S_MAX),
};
SCHEMA(auth_make_token_schema, make_token_fields);

FIELDS new_token_fields[] = {
    JSON_STRING(struct auth_new_token, token, "token", .required = true, .max_len = AUTH_TOKEN_MAX),
    JSON_INT(struct auth_new_token, expires_at_ms, "expiresAtMs", .required = true),
    JSON_INT(struct auth_new_token, scopes, "scopes", .required = true, .min = 0,
             .max = AUTH_SCOPES_ALL),
};
SCHEMA(auth_new_token_schema, new_token_fields);

FIELDS key_ids_fields[] = {
    JSON_STRINGS(struct auth_key_ids, api_key_ids, "apiKeyIds", .required = true,
                 .max_len = AUTH_KEY_IDS_MAX, .item_max = ID_SIZE - 1),
};
SCHEMA(auth_key_ids_schema, key_ids_fields);

FIELDS create_key_fields[] = {
    JSON_ID(struct auth_create_key, id, "id"),
    JSON_ID(struct auth_create_key, user_id, "userId", .required = true),
    JSON_ID(struct auth_create_key, actor_key_id, "actorKeyId"),
    JSON_STRING(struct auth_create_key, name, "name", .max_len = API_KEY_NAME_MAX),
    JSON_INT(struct auth_create_key, expires_in_days, "expiresInDays"),
    JSON_INT(struct auth_create_key, scopes, "scopes", .min = 0, .max = AUTH_SCOPES_ALL),
    JSON_INT(struct auth_create_key, max_sandboxes, "maxSandboxes", .min = 0,
             .max = API_KEY_LIMIT_MAX),
    JSON_INT(struct auth_create_key, requests_per_minute, "requestsPerMinute", .min = 0,
             .max = API_KEY_LIMIT_MAX),
};
SCHEMA(auth_create_key_schema, create_key_fields);

FIELDS new_key_fields[] = {
    JSON_ID(struct auth_new_key, id, "id", .required = true),
    JSON_STRING(struct auth_new_key, key, "key", .required = true),
    JSON_STRING(struct auth_new_key, prefix, "prefix", .required = true),
    JSON_STRING(struct auth_new_key, name, "name"),
    JSON_STRING(struct auth_new_key, created_at, "createdAt", .required = true),
    JSON_STRING(struct auth_new_key, expires_at, "expiresAt"),
    JSON_ID(struct auth_new_key, parent_id, "parentId"),
    JSON_INT(struct auth_new_key, scopes, "scopes", .required = true),
    JSON_INT(struct auth_new_key, max_sandboxes, "maxSandboxes"),
    JSON_INT(struct auth_new_key, requests_per_minute, "requestsPerMinute"),
};
SCHEMA(auth_new_key_schema, new_key_fields);

FIELDS list_keys_fields[] = {
    JSON_ID(struct auth_list_keys, user_id, "userId", .required = true),
    JSON_ID(struct auth_list_keys, actor_key_id, "actorKeyId"),
};
SCHEMA(auth_list_keys_schema, list_keys_fields);

FIELDS key_list_fields[] = {
    JSON_ARRAY(struct auth_key_list, api_keys, "apiKeys", .required = true),
};
SCHEMA(auth_key_list_schema, key_list_fields);

FIELDS revoke_key_fields[] = {
    JSON_ID(struct auth_revoke_key, user_id, "userId", .required = true),
    JSON_ID(struct auth_revoke_key, actor_key_id, "actorKeyId"),
    JSON_ID(struct auth_revoke_key, id, "id", .required = true),
};
SCHEMA(auth_revoke_key_schema, revoke_key_fields);

FIELDS rotate_key_fields[] = {
    JSON_ID(struct auth_rotate_key, new_id, "newId"),
    JSON_ID(struct auth_rotate_key, user_id, "userId", .required = true),
    JSON_ID(struct auth_rotate_key, actor_key_id, "actorKeyId"),
    JSON_ID(struct auth_rotate_key, id, "id", .required = true),
    JSON_INT(struct auth_rotate_key, overlap_s, "overlapS", .min = 0, .max = API_KEY_OVERLAP_S_MAX),
};
SCHEMA(auth_rotate_key_schema, rotate_key_fields);

FIELDS webhook_fields[] = {
    JSON_STRING(struct auth_webhook, id, "id", .max_len = WEBHOOK_HEADER_MAX),
    JSON_STRING(struct auth_webhook, timestamp, "timestamp", .max_len = WEBHOOK_HEADER_MAX),
    JSON_STRING(struct auth_webhook, signature, "signature", .max_len = WEBHOOK_HEADER_MAX),
    JSON_STRING(struct auth_webhook, body_base64, "body",
                .max_len = ENCODE_BASE64_SIZE(WEBHOOK_BODY_MAX) - 1),
};
SCHEMA(auth_webhook_schema, webhook_fields);

FIELDS health_fields[] = {
    JSON_BOOL(struct auth_health, postgres, "postgres", .required = true),
    JSON_BOOL(struct auth_health, redis, "redis", .required = true),
};
SCHEMA(auth_health_schema, health_fields);

const struct json_schema empty_schema = {.refuse_unknown = true};
