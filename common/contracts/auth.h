/* common/contracts/auth.h: what gateways ask the auth-service. Each message is a struct and the
 * schema that reads and writes it; strings point into the document they were read from. */
#ifndef COMMON_CONTRACTS_AUTH_H
#define COMMON_CONTRACTS_AUTH_H

#include "common/base/id.h"
#include "common/json/read.h"

enum {
    API_KEY_LEN = 68, /* isk_ and 64 lower-case hex digits */
    API_KEY_SIZE = API_KEY_LEN + 1,
    API_KEY_PREFIX_SIZE = 13, /* the first 12 characters: what may be shown and logged */
    API_KEY_NAME_MAX = 255,
    TIER_SIZE = 16,
    AUTH_TOKEN_MAX = 8192,
    AUTH_KEY_IDS_MAX = 256, /* in one question */
};

/* Turns "isk_..." or "e2b_..." into the canonical key; false when the shape is wrong. */
bool api_key_normalise(struct view text, char out[API_KEY_SIZE]) MUST_CHECK;

/* auth.check_key -> auth_identity. ERR_UNAUTHENTICATED "invalid_api_key" for every key that does
 * not serve: unknown, wrong, revoked, expired, of a suspended user. */
#define AUTH_CHECK_KEY "auth.check_key"
struct auth_check_key {
    struct view key;
};
extern const struct json_schema auth_check_key_schema;

struct auth_identity {
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE];
    struct view tier;
    int64_t expires_at_ms; /* wall clock; 0: never */
};
extern const struct json_schema auth_identity_schema;

/* auth.find_ended_keys -> the same message: those of the keys that do not serve (any more), for
 * whoever knows keys by their ids and may have missed news. */
#define AUTH_FIND_ENDED_KEYS "auth.find_ended_keys"
struct auth_key_ids {
    struct json_strings api_key_ids;
};
extern const struct json_schema auth_key_ids_schema;

/* The three of /api/keys: token is the Clerk session token. ERR_UNAUTHENTICATED "invalid_session"
 * or "token_expired"; ERR_UNAVAILABLE "clerk_not_configured" or "clerk_unavailable". */
#define AUTH_CREATE_KEY "auth.create_key"
struct auth_create_key {
    struct view token;
    struct view name;        /* empty: none */
    int64_t expires_in_days; /* 0: never */
};
extern const struct json_schema auth_create_key_schema;

/* Times are RFC 3339 text; empty: null. */
struct auth_new_key {
    char id[ID_SIZE];
    struct view key;
    struct view prefix;
    struct view name;
    struct view created_at;
    struct view expires_at;
};
extern const struct json_schema auth_new_key_schema;

#define AUTH_LIST_KEYS "auth.list_keys"
struct auth_list_keys {
    struct view token;
};
extern const struct json_schema auth_list_keys_schema;
struct auth_key_list {
    struct view api_keys; /* a JSON array of {id,prefix,name,lastUsedAt,...} as the API shows it */
};
extern const struct json_schema auth_key_list_schema;

/* ERR_NOT_FOUND "api_key_not_found" for unknown ids and ids of others. */
#define AUTH_REVOKE_KEY "auth.revoke_key"
struct auth_revoke_key {
    struct view token;
    char id[ID_SIZE];
};
extern const struct json_schema auth_revoke_key_schema;

#define AUTH_HEALTH "auth.health"
struct auth_health {
    bool postgres;
    bool redis;
};
extern const struct json_schema auth_health_schema;

/* A message without members, both ways. */
extern const struct json_schema empty_schema;

#endif
