#include "auth-service/users/account_store.h"

#include <stdio.h>

#define GET "account_get"
#define UPDATE "account_update"
#define DELETE "account_delete"
#define ERASE "account_erase"

#define COLUMNS                                                                                    \
    "id, email, coalesce(chosen_name, display_name), coalesce(chosen_avatar_url, avatar_url),"     \
    " tier, role, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

enum { NUMBER_SIZE = 12 };

const struct pg_statement account_statements[ACCOUNT_STATEMENT_COUNT] = {
    {GET, "SELECT " COLUMNS " FROM users WHERE id = $1::uuid AND deleted_at IS NULL"},
    {UPDATE, "SELECT " COLUMNS " FROM user_choose($1::uuid, nullif($2::text, '')::uuid,"
             " $3::boolean, nullif($4::text, ''), $5::boolean, nullif($6::text, ''))"},
    {DELETE, "SELECT user_leave($1::uuid, nullif($2::text, '')::uuid)"},
    {ERASE, "SELECT user_erase($1::int)"},
};

bool account_get(struct pg_pool *pg, const char user_id[ID_SIZE], int64_t timeout_ms,
                 pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{user_id}, 1};
    return pg_query_begin(pg, GET, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool account_update(struct pg_pool *pg, const struct auth_update_user *update, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err)
{
    char name[USER_NAME_MAX + 1];
    char avatar_url[USER_AVATAR_URL_MAX + 1];
    if (!view_copy(update->display_name, name, sizeof name) ||
        !view_copy(update->avatar_url, avatar_url, sizeof avatar_url)) {
        return err_set(err, ERR_INVALID, "displayName or avatarUrl is too long");
    }
    const struct pg_parameters parameters = {
        {update->user_id, update->actor_key_id, update->sets_display_name ? "true" : "false", name,
         update->sets_avatar_url ? "true" : "false", avatar_url},
        6};
    return pg_query_begin(pg, UPDATE, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool account_delete(struct pg_pool *pg, const struct auth_delete_user *leave, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{leave->user_id, leave->actor_key_id}, 2};
    return pg_query_begin(pg, DELETE, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool account_read(const PGresult *result, struct auth_user *out, struct err *err)
{
    enum { ID, EMAIL, DISPLAY_NAME, AVATAR_URL, TIER, ROLE, CREATED_AT };
    if (pg_rows(result) == 0) {
        return err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_api_key", "there is no such user");
    }
    *out = (struct auth_user){.email = view_of(pg_text(result, 0, EMAIL)),
                              .display_name = view_of(pg_text(result, 0, DISPLAY_NAME)),
                              .avatar_url = view_of(pg_text(result, 0, AVATAR_URL)),
                              .tier = view_of(pg_text(result, 0, TIER)),
                              .role = view_of(pg_text(result, 0, ROLE)),
                              .created_at = view_of(pg_text(result, 0, CREATED_AT))};
    return view_copy(view_of(pg_text(result, 0, ID)), out->id, sizeof out->id) ||
           err_set(err, ERR_INTERNAL, "a user's row could not be read");
}

bool account_erase(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                   struct err *err)
{
    char most[NUMBER_SIZE];
    (void)snprintf(most, sizeof most, "%d", ACCOUNT_ERASE_BATCH);
    const struct pg_parameters parameters = {{most}, 1};
    return pg_query_begin(pg, ERASE, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool account_erase_read(const PGresult *result)
{
    return pg_rows(result) == 1 && pg_bool(result, 0, 0);
}
