/* auth-service/api_keys/store.h: API keys in PostgreSQL. Each question takes the pool's callback;
 * the function of the same name with _read turns its result into what was asked for. */
#ifndef AUTH_SERVICE_API_KEYS_STORE_H
#define AUTH_SERVICE_API_KEYS_STORE_H

#include "auth-service/api_keys/material.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "common/db/pg.h"

enum {
    API_KEY_STATEMENT_COUNT = 7,
    API_KEYS_MAX = 1000,            /* that serve, a user; also how many a list shows */
    API_KEY_DAYS_MAX = 1000 * 1000, /* of life */
    API_KEY_TIME_SIZE = 32,         /* RFC 3339 text */
};
extern const struct pg_statement api_key_statements[API_KEY_STATEMENT_COUNT];

/* A key that serves: not revoked, not expired, its user not suspended. */
struct api_key_row {
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    char tier[TIER_SIZE];
    char bcrypt[API_KEY_BCRYPT_SIZE];
    int64_t expires_at_ms; /* wall clock; 0: never */
    bool use_is_stale;     /* last_used_at is a minute old */
};
bool api_key_find_by_hash(struct pg_pool *pg, const char *digest_hex, int64_t timeout_ms,
                          pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* False when there is no such key. */
bool api_key_find_read(const PGresult *result, struct api_key_row *out) MUST_CHECK;

/* Strings are borrowed during the call. */
struct api_key_insert {
    const char *user_id;
    const char *name; /* "": none */
    const char *prefix;
    const char *digest_hex;
    const char *bcrypt;
    int64_t expires_in_days; /* 0: never */
};
struct api_key_times {
    char id[ID_SIZE];
    char created_at[API_KEY_TIME_SIZE];
    char expires_at[API_KEY_TIME_SIZE]; /* "": never */
};
bool api_key_insert(struct pg_pool *pg, const struct api_key_insert *insert, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* ERR_LIMIT "api_key_limit" when the user has API_KEYS_MAX keys that serve. */
bool api_key_insert_read(const PGresult *result, struct api_key_times *out,
                         struct err *err) MUST_CHECK;

/* Which of these do not serve: rows of one column, the id. ids: an array literal of UUIDs. */
bool api_key_find_ended(struct pg_pool *pg, const char *ids, int64_t timeout_ms, pg_result_fn *done,
                        void *arg, struct err *err) MUST_CHECK;

/* Newest first. The reader writes the JSON array that the API shows. */
bool api_key_list(struct pg_pool *pg, const char user_id[ID_SIZE], int64_t timeout_ms,
                  pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
void api_key_list_read(const PGresult *result, struct str *out);

/* Of a key that is revoked already: does nothing and succeeds. */
bool api_key_revoke(struct pg_pool *pg, const char id[ID_SIZE], const char user_id[ID_SIZE],
                    int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND "api_key_not_found" when the user has no such key. */
bool api_key_revoke_read(const PGresult *result, struct err *err) MUST_CHECK;

/* Sets last_used_at to now. ids: "{id,id,...}". */
bool api_key_mark_used(struct pg_pool *pg, const char *ids, int64_t timeout_ms, pg_result_fn *done,
                       void *arg, struct err *err) MUST_CHECK;

/* The ids, one a row, of keys that were revoked within the last minute. */
bool api_key_find_revoked_lately(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done,
                                 void *arg, struct err *err) MUST_CHECK;

#endif
