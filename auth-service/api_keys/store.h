/* auth-service/api_keys/store.h: API keys in PostgreSQL. Each question takes the pool's callback;
 * the function of the same name with _read turns its result into what was asked for. */
#ifndef AUTH_SERVICE_API_KEYS_STORE_H
#define AUTH_SERVICE_API_KEYS_STORE_H

#include "auth-service/api_keys/material.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "common/contracts/admin.h"
#include "common/db/pg.h"
#include "common/db/position.h"

enum {
    API_KEY_STATEMENT_COUNT = 11,
    API_KEYS_MAX = 1000,            /* that serve, a user; also how many a list shows */
    API_KEYS_EXPIRED_MAX = 1024,    /* that are looked up at once */
    API_KEY_DAYS_MAX = 1000 * 1000, /* of life */
    API_KEY_TIME_SIZE = 32,         /* RFC 3339 text */
};
extern const struct pg_statement api_key_statements[API_KEY_STATEMENT_COUNT];

/* A key that serves, unless its user is suspended: not revoked, not expired. */
struct api_key_row {
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    char tier[TIER_SIZE];
    char bcrypt[API_KEY_BCRYPT_SIZE];
    int64_t expires_at_ms; /* wall clock; 0: never */
    bool use_is_stale;     /* last_used_at is a minute old */
    unsigned scopes;       /* of enum auth_scope; admin only while the user has the role */
    int64_t max_sandboxes; /* 0: no limit; so the next */
    int64_t requests_per_minute;
    bool is_admin;                         /* the user has the role */
    bool is_suspended;                     /* the user is */
    char key_limits[AUTH_KEY_LIMITS_SIZE]; /* as auth_identity has it */
};
bool api_key_find_by_hash(struct pg_pool *pg, const char *digest_hex, int64_t timeout_ms,
                          pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* False when there is no such key. */
bool api_key_find_read(const PGresult *result, struct api_key_row *out) MUST_CHECK;

/* What a key is found and proven by. Strings are borrowed during the call. */
struct api_key_secret {
    const char *prefix;
    const char *digest_hex;
    const char *bcrypt;
};

/* What a new key is to have; what is 0 is as actor_key_id has it, or without one the default. */
struct api_key_insert {
    const char *id; /* "": any; one that is there already gets this secret */
    const char *user_id;
    const char *actor_key_id; /* who makes it; "": a session */
    const char *name;         /* "": none */
    struct api_key_secret secret;
    int64_t expires_in_days;
    int64_t scopes;
    int64_t max_sandboxes;
    int64_t requests_per_minute;
};
/* What it has then. */
struct api_key_made {
    char id[ID_SIZE];
    char parent_id[ID_SIZE]; /* "": none */
    char name[API_KEY_NAME_MAX + 1];
    char created_at[API_KEY_TIME_SIZE];
    char expires_at[API_KEY_TIME_SIZE]; /* "": never */
    unsigned scopes;
    int64_t max_sandboxes; /* 0: no limit; so the next */
    int64_t requests_per_minute;
};
/* Errors of this and api_key_rotate are as AUTH_CREATE_KEY and AUTH_ROTATE_KEY have them. */
bool api_key_insert(struct pg_pool *pg, const struct api_key_insert *insert, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* Puts a key in the place of another. */
struct api_key_rotation {
    const char *new_id; /* as in api_key_insert */
    const char *user_id;
    const char *actor_key_id; /* "": a session */
    const char *id;           /* of the other */
    struct api_key_secret secret;
    int64_t overlap_s; /* how long the other goes on */
};
bool api_key_rotate(struct pg_pool *pg, const struct api_key_rotation *rotation, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* Of both. */
bool api_key_made_read(const PGresult *result, struct api_key_made *out,
                       struct err *err) MUST_CHECK;

/* Which of these do not serve: rows of one column, the id. ids: an array literal of UUIDs. */
bool api_key_find_ended(struct pg_pool *pg, const char *ids, int64_t timeout_ms, pg_result_fn *done,
                        void *arg, struct err *err) MUST_CHECK;

/* Who asks about keys of a user, or changes them: a session (actor_key_id is "") all of them, a key
 * those that came of it. Strings are borrowed during the call. */
struct api_key_actor {
    const char *user_id;
    const char *actor_key_id;
};

/* Newest first. The reader writes the JSON array that the API shows. */
bool api_key_list(struct pg_pool *pg, const struct api_key_actor *actor, int64_t timeout_ms,
                  pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
void api_key_list_read(const PGresult *result, struct str *out);

/* Of all users, or one, newest first: one row more than the page has, when there are more, for the
 * next two. The first count rows make the JSON array that the API shows. */
bool api_key_list_all(struct pg_pool *pg, const struct admin_list_keys *wanted, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
void api_key_list_all_read(const PGresult *result, int count, struct str *out);
void api_key_position(const PGresult *result, int row, struct position *out);

/* With all that came of it: rows of one column, the id, of those that end by this, and id itself,
 * which may be revoked already. ERR_NOT_FOUND "api_key_not_found"; ERR_UNAUTHENTICATED
 * "invalid_api_key". */
bool api_key_revoke(struct pg_pool *pg, const char id[ID_SIZE], const struct api_key_actor *actor,
                    int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* The same of whoever's key, by an administrator; a second column has its user. ERR_NOT_FOUND
 * "api_key_not_found"; ERR_DENIED "not_admin". */
bool api_key_revoke_any(struct pg_pool *pg, const struct admin_revoke_key *wanted,
                        int64_t timeout_ms, pg_result_fn *done, void *arg,
                        struct err *err) MUST_CHECK;

/* Sets last_used_at to now, but not of keys that are being changed. ids: "{id,id,...}". */
bool api_key_mark_used(struct pg_pool *pg, const char *ids, int64_t timeout_ms, pg_result_fn *done,
                       void *arg, struct err *err) MUST_CHECK;

/* Those that have expired since (ms of PostgreSQL's clock; 0: in the last API_KEY_OVERLAP_S_MAX),
 * at most API_KEYS_EXPIRED_MAX, and users whose access changed since then (within a minute at most,
 * and some seconds more than once): rows of the id, in each since when the next look is to be, what
 * it is: "key", "user" (suspended or deleted) or "account", and whether more keys have expired. At
 * least one row; its id may be NULL. */
bool api_key_find_expired(struct pg_pool *pg, int64_t since_ms, int64_t timeout_ms,
                          pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* The ids, one a row, of keys that were revoked and users that were suspended (or deleted) within
 * the last minute; the second column tells which it is: true is a user. */
bool api_key_find_revoked_lately(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done,
                                 void *arg, struct err *err) MUST_CHECK;

#endif
