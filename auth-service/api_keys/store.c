#include "auth-service/api_keys/store.h"

#include "auth-service/api_keys/store_pieces.h"
#include "common/contracts/auth.h"
#include "common/json/write.h"

#include <inttypes.h>
#include <stdio.h>

#define FIND "api_key_find"
#define INSERT "api_key_insert"
#define ROTATE "api_key_rotate"
#define LIST "api_key_list"
#define LIST_ALL "api_key_list_all"
#define REVOKE "api_key_revoke"
#define REVOKE_ANY "api_key_revoke_any"
#define MARK_USED "api_key_mark_used"
#define FIND_REVOKED "api_key_find_revoked"
#define FIND_ENDED "api_key_find_ended"
#define FIND_EXPIRED "api_key_find_expired"

#define ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define SERVES "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
/* $9, or what no parent has when it would be one limit more than a request can count in. */
#define SOUND_REQUESTS                                                                             \
    "CASE WHEN $9::int > 0 AND (" ABOVE(                                                           \
        "nullif($2::text, '')::uuid") " SELECT count(DISTINCT requests_per_minute) FROM above "    \
                                      "WHERE requests_per_minute <> $9::int)"                      \
                                      " >= 4 THEN 2147483647 ELSE nullif($9::int, 0) END"
_Static_assert(AUTH_KEY_LIMITS_MAX == 4, "SOUND_REQUESTS and KEY_LIMITS");
#define MADE                                                                                       \
    "id, parent_id, name, " ISO("created_at") ", " ISO("expires_at") ", scopes, max_sandboxes, "   \
                                                                     "requests_per_minute"
/* Of "api_keys k". */
#define LISTED                                                                                     \
    "k.id, k.prefix, k.name, k.parent_id, " ISO("k.last_used_at") ", " ISO(                        \
        "k.expires_at") ", " ISO("k.revoked_at") ", " ISO("k.created_at") ", k.scopes, "           \
                                                                          "coalesce(k.max_"        \
                                                                          "sandboxes, 0),"         \
                                                                          " coalesce(k.requests_"  \
                                                                          "per_minute, "           \
                                                                          "0), " SERVES
enum {
    LISTED_ID,
    LISTED_SCOPES = 8,
    LISTED_MAX_SANDBOXES,
    LISTED_REQUESTS,
    LISTED_IS_ACTIVE,
    LISTED_USER_ID, /* of LIST_ALL, as the next */
    LISTED_CREATED_US,
};

const struct pg_statement api_key_statements[API_KEY_STATEMENT_COUNT] = {
    {FIND,
     "SELECT k.id, k.user_id, u.tier, k.bcrypt,"
     " coalesce(floor(extract(epoch FROM k.expires_at) * 1000)::bigint, 0),"
     " k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute',"
     " CASE WHEN u.role = 'admin' THEN k.scopes ELSE k.scopes & ~32 END,"
     " coalesce(k.max_sandboxes, 0), coalesce(k.requests_per_minute, 0), u.role = 'admin',"
     " u.suspended_at IS NOT NULL, " KEY_LIMITS " FROM api_keys k JOIN users u ON u.id = k.user_id"
     " WHERE k.digest = decode($1, 'hex') AND " SERVES},
    {INSERT, "SELECT " MADE " FROM api_key_issue(nullif($12::text, '')::uuid, $1::uuid,"
             " nullif($2::text, '')::uuid, $3::text,"
             " $4::text, decode($5, 'hex'), $6::text, nullif($7::int, 0), nullif($8::int, 0),"
             " " SOUND_REQUESTS ", nullif($10::int, 0), $11::int)"},
    {ROTATE, "SELECT " MADE " FROM api_key_rotate(nullif($9::text, '')::uuid, $1::uuid, $2::uuid, "
             "nullif($3::text, '')::uuid,"
             " $4::int, $5::text, decode($6, 'hex'), $7::text, $8::int)"},
    /* The newest, but none that serves is left out for those that ended. */
    {LIST, "SELECT " LISTED " FROM (SELECT * FROM api_keys WHERE user_id = $1::uuid"
           " AND ($2::text = '' OR id IN (SELECT api_key_descendants(nullif($2, '')::uuid)))"
           " ORDER BY (" SERVES ") DESC, created_at DESC, id DESC LIMIT $3::int) k"
           " ORDER BY k.created_at DESC, k.id DESC"},
    {LIST_ALL, "SELECT " LISTED ", k.user_id, (extract(epoch FROM k.created_at) * 1000000)::bigint"
               " FROM api_keys k WHERE ($1::text = '' OR k.user_id = nullif($1, '')::uuid)"
               " AND ($2::text = '' OR (k.created_at, k.id) <"
               " (timestamptz 'epoch' + nullif($2, '')::bigint * interval '1 microsecond',"
               " nullif($3::text, '')::uuid))"
               " ORDER BY k.created_at DESC, k.id DESC LIMIT $4::int"},
    {REVOKE, "SELECT api_key_revoke($1::uuid, $2::uuid, nullif($3::text, '')::uuid)"},
    {REVOKE_ANY, "SELECT id, user_id FROM admin_revoke_key($1::uuid, nullif($2::text, '')::uuid,"
                 " $3::uuid)"},
    /* Whoever else changes several keys holds their user's row; this waits for none of them. */
    {MARK_USED, "UPDATE api_keys SET last_used_at = now() WHERE id IN"
                " (SELECT id FROM api_keys WHERE id = ANY ($1::uuid[])"
                " AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"
                " FOR NO KEY UPDATE SKIP LOCKED)"},
    {FIND_REVOKED, "SELECT id, false FROM api_keys WHERE revoked_at > now() - interval '1 minute'"
                   " UNION ALL"
                   " SELECT id, true FROM users WHERE suspended_at > now() - interval '1 minute'"},
    {FIND_ENDED, "SELECT asked.id FROM unnest($1::uuid[]) AS asked (id) WHERE NOT EXISTS"
                 " (SELECT 1 FROM api_keys k JOIN users u ON u.id = k.user_id"
                 " WHERE k.id = asked.id AND " SERVES " AND u.suspended_at IS NULL)"
                 " AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = asked.id"
                 " AND u.suspended_at IS NULL AND u.deleted_at IS NULL)"},
    /* A change of a user may have begun before the last look and be there only now. */
    {FIND_EXPIRED,
     "WITH asked AS (SELECT greatest(to_timestamp($1::bigint / 1000.0),"
     " now() - make_interval(secs => $2::int)) AS since),"
     " ended AS MATERIALIZED (SELECT id, expires_at FROM api_keys"
     " WHERE revoked_at IS NULL AND expires_at >= (SELECT since FROM asked) AND expires_at <= now()"
     " ORDER BY expires_at LIMIT $3::int),"
     " seen AS (SELECT count(*) = $3::int AS is_full, max(expires_at) AS last FROM ended)"
     " SELECT found.id, CASE WHEN is_full"
     " THEN greatest(floor(extract(epoch FROM last) * 1000)::bigint, $1::bigint + 1)"
     " ELSE floor(extract(epoch FROM now()) * 1000)::bigint END, found.kind, is_full"
     " FROM seen LEFT JOIN (SELECT id,"
     " CASE WHEN suspended_at IS NULL THEN 'account' ELSE 'user' END AS kind FROM users"
     " WHERE access_changed_at >= (SELECT greatest(since - interval '5 seconds',"
     " now() - interval '65 seconds') FROM asked)"
     " UNION ALL SELECT id, 'key' FROM ended) found ON true"},
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
    enum {
        ID,
        USER_ID,
        TIER,
        BCRYPT,
        EXPIRES_AT,
        STALE,
        SCOPES,
        MAX_SANDBOXES,
        REQUESTS,
        ADMIN,
        SUSPENDED,
        LIMITS
    };
    if (pg_rows(result) != 1) {
        return false;
    }
    out->expires_at_ms = pg_int(result, 0, EXPIRES_AT);
    out->use_is_stale = pg_bool(result, 0, STALE);
    out->scopes = (unsigned)pg_int(result, 0, SCOPES);
    out->max_sandboxes = pg_int(result, 0, MAX_SANDBOXES);
    out->requests_per_minute = pg_int(result, 0, REQUESTS);
    out->is_admin = pg_bool(result, 0, ADMIN);
    out->is_suspended = pg_bool(result, 0, SUSPENDED);
    return copy_text(result, ID, out->id, sizeof out->id) &&
           copy_text(result, USER_ID, out->user_id, sizeof out->user_id) &&
           copy_text(result, TIER, out->tier, sizeof out->tier) &&
           copy_text(result, LIMITS, out->key_limits, sizeof out->key_limits) &&
           copy_text(result, BCRYPT, out->bcrypt, sizeof out->bcrypt);
}

bool api_key_find_ended(struct pg_pool *pg, const char *ids, int64_t timeout_ms, pg_result_fn *done,
                        void *arg, struct err *err)
{
    struct pg_parameters parameters = {{ids}, 1};
    return ask(pg, FIND_ENDED, &parameters, timeout_ms, done, arg, err);
}

static void write_number(int64_t number, char out[NUMBER_SIZE])
{
    (void)snprintf(out, NUMBER_SIZE, "%" PRId64, number);
}

bool api_key_insert(struct pg_pool *pg, const struct api_key_insert *insert, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err)
{
    char scopes[NUMBER_SIZE];
    char sandboxes[NUMBER_SIZE];
    char requests[NUMBER_SIZE];
    char days[NUMBER_SIZE];
    char limit[NUMBER_SIZE];
    write_number(insert->scopes, scopes);
    write_number(insert->max_sandboxes, sandboxes);
    write_number(insert->requests_per_minute, requests);
    write_number(insert->expires_in_days, days);
    write_number(API_KEYS_MAX, limit);
    const struct api_key_secret *secret = &insert->secret;
    const struct pg_parameters parameters = {{insert->user_id, insert->actor_key_id, insert->name,
                                              secret->prefix, secret->digest_hex, secret->bcrypt,
                                              scopes, sandboxes, requests, days, limit, insert->id},
                                             12};
    return ask(pg, INSERT, &parameters, timeout_ms, done, arg, err);
}

bool api_key_rotate(struct pg_pool *pg, const struct api_key_rotation *rotation, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err)
{
    char overlap[NUMBER_SIZE];
    char limit[NUMBER_SIZE];
    write_number(rotation->overlap_s, overlap);
    write_number(API_KEYS_MAX, limit);
    const struct api_key_secret *secret = &rotation->secret;
    const struct pg_parameters parameters = {
        {rotation->id, rotation->user_id, rotation->actor_key_id, overlap, secret->prefix,
         secret->digest_hex, secret->bcrypt, limit, rotation->new_id},
        9};
    return ask(pg, ROTATE, &parameters, timeout_ms, done, arg, err);
}

bool api_key_made_read(const PGresult *result, struct api_key_made *out, struct err *err)
{
    enum { ID, PARENT_ID, NAME, CREATED_AT, EXPIRES_AT, SCOPES, MAX_SANDBOXES, REQUESTS };
    bool read = pg_rows(result) == 1 && copy_text(result, ID, out->id, sizeof out->id) &&
                copy_text(result, PARENT_ID, out->parent_id, sizeof out->parent_id) &&
                copy_text(result, NAME, out->name, sizeof out->name) &&
                copy_text(result, CREATED_AT, out->created_at, sizeof out->created_at) &&
                copy_text(result, EXPIRES_AT, out->expires_at, sizeof out->expires_at);
    if (!read) {
        return err_set(err, ERR_INTERNAL, "the new key's row could not be read");
    }
    out->scopes = (unsigned)pg_int(result, 0, SCOPES);
    out->max_sandboxes = pg_int(result, 0, MAX_SANDBOXES);
    out->requests_per_minute = pg_int(result, 0, REQUESTS);
    return true;
}

bool api_key_list(struct pg_pool *pg, const struct api_key_actor *actor, int64_t timeout_ms,
                  pg_result_fn *done, void *arg, struct err *err)
{
    char limit[NUMBER_SIZE];
    write_number(API_KEYS_MAX, limit);
    struct pg_parameters parameters = {{actor->user_id, actor->actor_key_id, limit}, 3};
    return ask(pg, LIST, &parameters, timeout_ms, done, arg, err);
}

static void write_limit(struct json_writer *writer, const char *name, int64_t limit)
{
    if (limit == 0) {
        json_null(writer, name);
    } else {
        json_int(writer, name, limit);
    }
}

static void write_listed(const PGresult *result, int row, struct json_writer *writer)
{
    static const char *const names[LISTED_SCOPES] = {
        "id", "prefix", "name", "parentId", "lastUsedAt", "expiresAt", "revokedAt", "createdAt"};
    for (int column = 0; column < LISTED_SCOPES; column++) {
        json_string_or_null(writer, names[column], pg_text(result, row, column));
    }
    auth_scopes_write(writer, "scopes", (unsigned)pg_int(result, row, LISTED_SCOPES));
    write_limit(writer, "maxSandboxes", pg_int(result, row, LISTED_MAX_SANDBOXES));
    write_limit(writer, "requestsPerMinute", pg_int(result, row, LISTED_REQUESTS));
    json_bool(writer, "isActive", pg_bool(result, row, LISTED_IS_ACTIVE));
}

void api_key_list_read(const PGresult *result, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_array(&writer, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        json_begin_object(&writer, NULL);
        write_listed(result, row, &writer);
        json_end_object(&writer);
    }
    json_end_array(&writer);
}

bool api_key_list_all(struct pg_pool *pg, const struct admin_list_keys *wanted, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err)
{
    struct position_parameters after;
    char rows[NUMBER_SIZE];
    if (!position_parameters_read(wanted->cursor, &after, err)) {
        return false;
    }
    write_number(wanted->limit + 1, rows);
    struct pg_parameters parameters = {{wanted->user_id, after.created_us, after.id, rows}, 4};
    return ask(pg, LIST_ALL, &parameters, timeout_ms, done, arg, err);
}

void api_key_list_all_read(const PGresult *result, int count, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_array(&writer, NULL);
    for (int row = 0; row < count; row++) {
        json_begin_object(&writer, NULL);
        json_string(&writer, "userId", view_of(pg_text(result, row, LISTED_USER_ID)));
        write_listed(result, row, &writer);
        json_end_object(&writer);
    }
    json_end_array(&writer);
}

void api_key_position(const PGresult *result, int row, struct position *out)
{
    position_read(result, row, LISTED_ID, LISTED_CREATED_US, out);
}

bool api_key_revoke(struct pg_pool *pg, const char id[ID_SIZE], const struct api_key_actor *actor,
                    int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    struct pg_parameters parameters = {{id, actor->user_id, actor->actor_key_id}, 3};
    return ask(pg, REVOKE, &parameters, timeout_ms, done, arg, err);
}

bool api_key_revoke_any(struct pg_pool *pg, const struct admin_revoke_key *wanted,
                        int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    struct pg_parameters parameters = {{wanted->admin_id, wanted->admin_key_id, wanted->id}, 3};
    return ask(pg, REVOKE_ANY, &parameters, timeout_ms, done, arg, err);
}

bool api_key_find_expired(struct pg_pool *pg, int64_t since_ms, int64_t timeout_ms,
                          pg_result_fn *done, void *arg, struct err *err)
{
    char since[NUMBER_SIZE];
    char longest[NUMBER_SIZE];
    char most[NUMBER_SIZE];
    write_number(since_ms, since);
    write_number(API_KEY_OVERLAP_S_MAX, longest);
    write_number(API_KEYS_EXPIRED_MAX, most);
    struct pg_parameters parameters = {{since, longest, most}, 3};
    return ask(pg, FIND_EXPIRED, &parameters, timeout_ms, done, arg, err);
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
