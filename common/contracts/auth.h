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
    API_KEY_LIMIT_MAX = 1000 * 1000, /* of either limit of a key */
    TIER_SIZE = 16,
    AUTH_TOKEN_MAX = 8192,
    AUTH_KEY_LIMITS_MAX = 4,    /* different limits of requests in a line of keys */
    AUTH_KEY_LIMITS_SIZE = 256, /* of the text of so many */
    AUTH_KEY_IDS_MAX = 256,     /* in one question */
    AUTH_SESSION_ID_MAX = 255,
    API_KEY_OVERLAP_S_MAX = 24 * 3600, /* of a key that is rotated */
    CLIENT_TOKEN_TTL_S_MAX = 3600,
};

/* What a caller may do. In the API each has a name; between our processes and in the database they
 * are bits of one number. */
enum auth_scope {
    AUTH_SANDBOX_READ = 1U << 0U,
    AUTH_SANDBOX_WRITE = 1U << 1U,
    AUTH_EXEC = 1U << 2U,
    AUTH_FILES = 1U << 3U,
    AUTH_KEYS = 1U << 4U,
    AUTH_ADMIN = 1U << 5U, /* counts only while the user has the role */
    AUTH_SCOPES_ALL = (1U << 6U) - 1,
    AUTH_SCOPES_DEFAULT = AUTH_SCOPES_ALL & ~AUTH_ADMIN,
    /* That make sense for one sandbox: what a client token may have. */
    AUTH_SCOPES_CLIENT = AUTH_SANDBOX_READ | AUTH_SANDBOX_WRITE | AUTH_EXEC | AUTH_FILES,
};
/* "sandbox:read", ...; of one scope. */
const char *auth_scope_name(unsigned scope);
/* The bit of a name; 0: there is no such scope. */
unsigned auth_scope_find(struct view name);
/* For .check of a field. */
bool auth_scope_check(struct view name, const char **problem);

struct json_writer;
/* An array of the names. */
void auth_scopes_write(struct json_writer *writer, const char *name, unsigned scopes);

/* Turns "isk_..." or "e2b_..." into the canonical key; false when the shape is wrong. */
bool api_key_normalise(struct view text, char out[API_KEY_SIZE]) MUST_CHECK;

/* auth.check_key -> auth_identity. ERR_UNAUTHENTICATED "invalid_api_key" for every key that does
 * not serve: unknown, wrong, revoked, expired. ERR_DENIED "account_suspended": the key is right,
 * and its user suspended. */
#define AUTH_CHECK_KEY "auth.check_key"
struct auth_check_key {
    struct view key;
};
extern const struct json_schema auth_check_key_schema;

struct auth_identity {
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE]; /* empty: a session */
    char sandbox_id[ID_SIZE]; /* of a client token: good for this one alone; empty: no token */
    struct view session_id;   /* of the issuer; empty: a key, or not said */
    struct view impersonator; /* who acts in the user's name; empty: nobody */
    struct view tier;
    int64_t expires_at_ms; /* of the key, or of the token, at the latest; wall clock; 0: never */
    int64_t scopes;        /* of enum auth_scope; admin only of users with the role */
    int64_t max_sandboxes; /* of the key; 0: as many as the tier has */
    int64_t requests_per_minute; /* of the key; 0: as many as the tier has */
    bool is_admin;               /* the user has the role */
    bool watch_session;          /* what it opens is to be told of with auth.note_sessions */
    int64_t return_at_ms;        /* of a session whose end nobody tells: its token expires, sockets
                                    are to come back; wall clock; 0: not */
    struct view key_limits;      /* of auth_key_limits_read; empty: none but requests_per_minute */
};
extern const struct json_schema auth_identity_schema;

/* A limit of requests that a key counts in: its own, and those of the keys it came of, as all that
 * came of a key share what it has. */
struct auth_key_limit {
    char api_key_id[ID_SIZE]; /* whose limit it is */
    int64_t requests_per_minute;
};
struct auth_key_limits {
    struct auth_key_limit items[AUTH_KEY_LIMITS_MAX]; /* the smallest first */
    size_t count;
};
/* "<id>:<requests a minute>,..." */
bool auth_key_limits_read(struct view text, struct auth_key_limits *out,
                          struct err *err) MUST_CHECK;

/* auth.check_session -> auth_identity, of a person's session token. ERR_UNAUTHENTICATED
 * "invalid_session" or "token_expired"; ERR_DENIED "account_suspended"; ERR_UNAVAILABLE
 * "clerk_not_configured" or "clerk_unavailable". */
#define AUTH_CHECK_SESSION "auth.check_session"
struct auth_check_session {
    struct view token;
};
extern const struct json_schema auth_check_session_schema;

/* auth.note_sessions: something long is open for each of them (watch_session), so that its end is
 * looked for at the issuer's. To be repeated every AUTH_NOTE_SESSIONS_MS. The answer has no
 * members.
 */
#define AUTH_NOTE_SESSIONS "auth.note_sessions"
enum {
    AUTH_NOTE_SESSIONS_MS = 10 * 1000,
    AUTH_SESSION_IDS_MAX = 256, /* in one message */
};
struct auth_session_ids {
    struct json_strings session_ids;
};
extern const struct json_schema auth_session_ids_schema;

/* Whether a text of the shape of a JWT is meant to be a client token: each begins with the same
 * header, {"typ":"insien-client+jwt","alg":"HS256"}. */
#define CLIENT_TOKEN_HEADER "eyJ0eXAiOiJpbnNpZW4tY2xpZW50K2p3dCIsImFsZyI6IkhTMjU2In0"
bool auth_is_client_token(struct view text);

/* auth.make_token -> auth_new_token: a client token for a sandbox, which the caller has looked up.
 * ERR_UNAUTHENTICATED "invalid_api_key" or "invalid_session" when the maker does not serve any
 * more; ERR_DENIED "missing_scope". */
#define AUTH_MAKE_TOKEN "auth.make_token"
struct auth_make_token {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session */
    struct view session_id;     /* as in auth_identity, so the next */
    struct view impersonator;
    bool watch_session;
    char sandbox_id[ID_SIZE];
    struct view sandbox_ends_at; /* RFC 3339: the token ends then at the latest */
    int64_t scopes;              /* of AUTH_SCOPES_CLIENT */
    int64_t ttl_s;               /* at most CLIENT_TOKEN_TTL_S_MAX */
};
extern const struct json_schema auth_make_token_schema;

struct auth_new_token {
    struct view token;
    int64_t expires_at_ms; /* wall clock */
    int64_t scopes;
};
extern const struct json_schema auth_new_token_schema;

/* auth.check_token, of an auth_check_session -> auth_identity, of who made the client token.
 * ERR_UNAUTHENTICATED "invalid_token" or "token_expired"; ERR_DENIED "account_suspended". */
#define AUTH_CHECK_TOKEN "auth.check_token"

/* auth.find_ended_keys -> the same message: those of the keys that do not serve (any more), for
 * whoever knows keys by their ids and may have missed news. An id may also be that of a user who
 * came without a key: those who are gone or suspended. */
#define AUTH_FIND_ENDED_KEYS "auth.find_ended_keys"
struct auth_key_ids {
    struct json_strings api_key_ids;
};
extern const struct json_schema auth_key_ids_schema;

/* Those of /api/keys say who acts: a user's session may do all, a key (actor_key_id) makes keys
 * with no more than it has itself, and sees and ends only those that came of it.
 * ERR_UNAUTHENTICATED "invalid_api_key" when either does not serve any more. */

/* Those that make a key give it an id, or leave that to the service. When a key of the user has it
 * already, a try broke off that nobody heard the answer of: it gets a new secret, and no other is
 * made. ERR_CONFLICT "api_key_ended" when it was revoked meanwhile. */

/* ERR_DENIED "key_rights_exceeded"; ERR_LIMIT "api_key_limit". What is 0 is as the actor has it; of
 * a session: the default scopes, no limit, no end. */
#define AUTH_CREATE_KEY "auth.create_key"
struct auth_create_key {
    char id[ID_SIZE]; /* of the new key; empty: any */
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session */
    struct view name;           /* empty: none */
    int64_t expires_in_days;
    int64_t scopes;
    int64_t max_sandboxes;
    int64_t requests_per_minute;
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
    char parent_id[ID_SIZE]; /* empty: made by a session */
    int64_t scopes;
    int64_t max_sandboxes;       /* 0: no limit but the tier's */
    int64_t requests_per_minute; /* 0: no limit but the tier's */
};
extern const struct json_schema auth_new_key_schema;

#define AUTH_LIST_KEYS "auth.list_keys"
struct auth_list_keys {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session */
};
extern const struct json_schema auth_list_keys_schema;
struct auth_key_list {
    struct view api_keys; /* a JSON array of {id,prefix,name,lastUsedAt,...} as the API shows it */
};
extern const struct json_schema auth_key_list_schema;

/* With all that came of it. ERR_NOT_FOUND "api_key_not_found" for unknown ids, and those of others
 * than the actor may end. */
#define AUTH_REVOKE_KEY "auth.revoke_key"
struct auth_revoke_key {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session */
    char id[ID_SIZE];
};
extern const struct json_schema auth_revoke_key_schema;

/* -> auth_new_key, which takes the place of id; that ends overlap_s later. ERR_NOT_FOUND as above;
 * ERR_CONFLICT "api_key_ended"; ERR_LIMIT "api_key_limit". */
#define AUTH_ROTATE_KEY "auth.rotate_key"
struct auth_rotate_key {
    char new_id[ID_SIZE]; /* of the new key; empty: any */
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session */
    char id[ID_SIZE];
    int64_t overlap_s; /* at most API_KEY_OVERLAP_S_MAX */
};
extern const struct json_schema auth_rotate_key_schema;

/* A webhook of Clerk as it came in. The answer has no members, and says that the sender need not
 * send it again. ERR_INVALID "webhook_refused" or "webhook_unreadable"; ERR_UNAVAILABLE
 * "webhooks_not_configured", ... */
#define AUTH_WEBHOOK "auth.webhook"
enum {
    WEBHOOK_BODY_MAX = 1024 * 1024,
    WEBHOOK_HEADER_MAX = 8 * 1024,
};
/* The three headers and the body; empty when absent. */
struct auth_webhook {
    struct view id;
    struct view timestamp;
    struct view signature;
    struct view body_base64;
};
extern const struct json_schema auth_webhook_schema;

#define AUTH_HEALTH "auth.health"
struct auth_health {
    bool postgres;
    bool redis;
};
extern const struct json_schema auth_health_schema;

/* A message without members, both ways. */
extern const struct json_schema empty_schema;

#endif
