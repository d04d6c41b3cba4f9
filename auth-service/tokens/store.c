#include "auth-service/tokens/store.h"

#include "auth-service/api_keys/store_pieces.h"

#define FIND_MAKER "token_maker_find"
#define END_SESSION "token_maker_end_session"

const struct pg_statement token_statements[TOKEN_STATEMENT_COUNT] = {
    {FIND_MAKER,
     "SELECT u.tier, coalesce(k.scopes, 31), coalesce(k.requests_per_minute, 0),"
     " coalesce(floor(extract(epoch FROM least(k.expires_at, nullif($4::text, '')::timestamptz))"
     " * 1000)::bigint, 0), u.suspended_at IS NOT NULL, " KEY_LIMITS
     " FROM users u LEFT JOIN api_keys k ON k.id = nullif($2::text, '')::uuid"
     " AND k.user_id = u.id AND k.revoked_at IS NULL"
     " AND (k.expires_at IS NULL OR k.expires_at > now())"
     " WHERE u.id = $1::uuid AND u.deleted_at IS NULL AND ($2::text = '' OR k.id IS NOT NULL)"
     " AND NOT EXISTS (SELECT 1 FROM ended_sessions e WHERE e.id = $3::text)"},
    {END_SESSION, "SELECT session_end($1::text)"},
};

bool token_maker_find(struct pg_pool *pg, const struct token_maker *maker, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {
        {maker->user_id, maker->api_key_id, maker->session_id, maker->sandbox_ends_at}, 4};
    return pg_query_begin(pg, FIND_MAKER, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool token_maker_read(const PGresult *result, struct token_maker_row *out)
{
    enum { TIER, SCOPES, REQUESTS, ENDS_AT, SUSPENDED, KEY_LIMITS_TEXT };
    if (pg_rows(result) != 1) {
        return false;
    }
    out->scopes = (unsigned)pg_int(result, 0, SCOPES) & AUTH_SCOPES_CLIENT;
    out->requests_per_minute = pg_int(result, 0, REQUESTS);
    out->ends_at_ms = pg_int(result, 0, ENDS_AT);
    out->is_suspended = pg_bool(result, 0, SUSPENDED);
    out->key_limits = pg_text(result, 0, KEY_LIMITS_TEXT);
    return view_copy(view_of(pg_text(result, 0, TIER)), out->tier, sizeof out->tier);
}

bool token_maker_end_session(struct pg_pool *pg, const char *session_id, int64_t timeout_ms,
                             pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{session_id}, 1};
    return pg_query_begin(pg, END_SESSION, &parameters, timeout_ms, done, arg, err) != NULL;
}
