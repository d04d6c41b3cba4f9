#include "auth-service/api_keys/store.h"

#include "common/json/write.h"

#include <inttypes.h>
#include <stdio.h>

#define FIND "api_key_find"
#define INSERT "api_key_insert"
#define LIST "api_key_list"
#define REVOKE "api_key_revoke"
#define MARK_USED "api_key_mark_used"
#define FIND_REVOKED "api_key_find_revoked"
#define FIND_ENDED "api_key_find_ended"

#define ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define SERVES "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"

const struct pg_statement api_key_statements[API_KEY_STATEMENT_COUNT] = {
    {FIND, "SELECT k.id, k.user_id, u.tier, k.bcrypt,"
           " coalesce(floor(extract(epoch FROM k.expires_at) * 1000)::bigint, 0),"
           " k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute'"
           " FROM api_keys k JOIN users u ON u.id = k.user_id"
           " WHERE k.digest = decode($1, 'hex') AND " SERVES " AND u.suspended_at IS NULL"},
    {INSERT,
     "INSERT INTO api_keys (user_id, name, prefix, digest, bcrypt, expires_at)"
     " SELECT $1::uuid, nullif($2::text, ''), $3::text, decode($4, 'hex'), $5::text,"
     " now() + make_interval(days => $6::int)"
     " WHERE (SELECT count(*) FROM api_keys WHERE user_id = $1::uuid AND " SERVES ") < $7::int"
     " RETURNING id, " ISO("created_at") ", " ISO("expires_at")},
    {LIST,
     "SELECT id, prefix, name, " ISO("last_used_at") ", " ISO("expires_at") ", " ISO(
         "revoked_at") ", " ISO("created_at") ", " SERVES " FROM api_keys WHERE user_id = $1 ORDER "
                                              "BY api_keys.created_at DESC, id DESC"
                                              " LIMIT $2::int"},
    {REVOKE, "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())"
             " WHERE id = $1 AND user_id = $2 RETURNING id"},
    {MARK_USED, "UPDATE api_keys SET last_used_at = now() WHERE id = ANY ($1::uuid[])"
                " AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"},
    {FIND_REVOKED, "SELECT id FROM api_keys WHERE revoked_at > now() - interval '1 minute'"},
    {FIND_ENDED, "SELECT asked.id FROM unnest($1::uuid[]) AS asked (id) WHERE NOT EXISTS"
                 " (SELECT 1 FROM api_keys k JOIN users u ON u.id = k.user_id"
                 " WHERE k.id = asked.id AND " SERVES " AND u.suspended_at IS NULL)"},
};

enum { NUMBER_SIZE = 24 };

static bool ask(struct pg_pool *pg, const char *statement, const struct pg_parameters *parameters,
                int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    return pg_query_begin(pg, statement, parameters, timeout_ms, done, arg, err) != NULL;
}

static bool copy_text(const PGresult *result, int column, char *out, size_t size)
{
    return view_copy(view_of(pg_text(result, 0, column)), out, size);
}

bool api_key_find_by_hash(struct pg_pool *pg, const char *digest_hex, int64_t timeout_ms,
                          pg_result_fn *done, void *arg, struct err *err)
{
    struct pg_parameters parameters = {{digest_hex}, 1};
    return ask(pg, FIND, &parameters, timeout_ms, done, arg, err);
}

bool api_key_find_read(const PGresult *result, struct api_key_row *out)
{
    enum { ID, USER_ID, TIER, BCRYPT, EXPIRES_AT, STALE };
    if (pg_rows(result) != 1) {
        return false;
    }
    out->expires_at_ms = pg_int(result, 0, EXPIRES_AT);
    out->use_is_stale = pg_bool(result, 0, STALE);
    return copy_text(result, ID, out->id, sizeof out->id) &&
           copy_text(result, USER_ID, out->user_id, sizeof out->user_id) &&
           copy_text(result, TIER, out->tier, sizeof out->tier) &&
           copy_text(result, BCRYPT, out->bcrypt, sizeof out->bcrypt);
}

bool api_key_find_ended(struct pg_pool *pg, const char *ids, int64_t timeout_ms, pg_result_fn *done,
                        void *arg, struct err *err)
{
    struct pg_parameters parameters = {{ids}, 1};
    return ask(pg, FIND_ENDED, &parameters, timeout_ms, done, arg, err);
}

bool api_key_insert(struct pg_pool *pg, const struct api_key_insert *insert, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err)
{
    char days[NUMBER_SIZE];
    char limit[NUMBER_SIZE];
    (void)snprintf(days, sizeof days, "%" PRId64, insert->expires_in_days);
    (void)snprintf(limit, sizeof limit, "%d", API_KEYS_MAX);
    struct pg_parameters parameters = {{insert->user_id, insert->name, insert->prefix,
                                        insert->digest_hex, insert->bcrypt,
                                        insert->expires_in_days == 0 ? NULL : days, limit},
                                       7};
    return ask(pg, INSERT, &parameters, timeout_ms, done, arg, err);
}

bool api_key_insert_read(const PGresult *result, struct api_key_times *out, struct err *err)
{
    if (pg_rows(result) == 0) {
        return err_set_reason(
            err, ERR_LIMIT, "api_key_limit",
            "You have %d API keys in use, the most there can be; revoke one first", API_KEYS_MAX);
    }
    return (copy_text(result, 0, out->id, sizeof out->id) &&
            copy_text(result, 1, out->created_at, sizeof out->created_at) &&
            copy_text(result, 2, out->expires_at, sizeof out->expires_at)) ||
           err_set(err, ERR_INTERNAL, "the new key's row could not be read");
}

bool api_key_list(struct pg_pool *pg, const char user_id[ID_SIZE], int64_t timeout_ms,
                  pg_result_fn *done, void *arg, struct err *err)
{
    char limit[NUMBER_SIZE];
    (void)snprintf(limit, sizeof limit, "%d", API_KEYS_MAX);
    struct pg_parameters parameters = {{user_id, limit}, 2};
    return ask(pg, LIST, &parameters, timeout_ms, done, arg, err);
}

void api_key_list_read(const PGresult *result, struct str *out)
{
    static const char *const columns[] = {"id",        "prefix",    "name",     "lastUsedAt",
                                          "expiresAt", "revokedAt", "createdAt"};
    enum { COLUMNS = sizeof columns / sizeof columns[0] };
    struct json_writer writer = json_writer_on(out);
    json_begin_array(&writer, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        json_begin_object(&writer, NULL);
        for (int column = 0; column < COLUMNS; column++) {
            json_string_or_null(&writer, columns[column], pg_text(result, row, column));
        }
        json_bool(&writer, "isActive", pg_bool(result, row, COLUMNS));
        json_end_object(&writer);
    }
    json_end_array(&writer);
}

bool api_key_revoke(struct pg_pool *pg, const char id[ID_SIZE], const char user_id[ID_SIZE],
                    int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    struct pg_parameters parameters = {{id, user_id}, 2};
    return ask(pg, REVOKE, &parameters, timeout_ms, done, arg, err);
}

bool api_key_revoke_read(const PGresult *result, struct err *err)
{
    return pg_rows(result) == 1 ||
           err_set_reason(err, ERR_NOT_FOUND, "api_key_not_found", "API key not found");
}

bool api_key_mark_used(struct pg_pool *pg, const char *ids, int64_t timeout_ms, pg_result_fn *done,
                       void *arg, struct err *err)
{
    struct pg_parameters parameters = {{ids}, 1};
    return ask(pg, MARK_USED, &parameters, timeout_ms, done, arg, err);
}

bool api_key_find_revoked_lately(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done,
                                 void *arg, struct err *err)
{
    struct pg_parameters parameters = {.count = 0};
    return ask(pg, FIND_REVOKED, &parameters, timeout_ms, done, arg, err);
}
