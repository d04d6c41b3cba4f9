#include "auth-service/webhooks/store.h"

#include <inttypes.h>
#include <stdio.h>

#define USER_CHANGED "webhook_user_changed"
#define USER_DELETED "webhook_user_deleted"
#define OTHER "webhook_other"

const struct pg_statement webhook_statements[WEBHOOK_STATEMENT_COUNT] = {
    {USER_CHANGED, "SELECT outcome, user_id, suspended"
                   " FROM webhook_user_changed($1::text, $2::text, $3::text, nullif($4::text, ''),"
                   " nullif($5::text, ''), nullif($6::text, ''),"
                   " to_timestamp($7::bigint / 1000.0), $8::boolean)"},
    {USER_DELETED, "SELECT outcome, user_id, user_id IS NOT NULL"
                   " FROM webhook_user_deleted($1::text, $2::text, $3::text)"},
    {OTHER, "SELECT CASE WHEN webhook_begin($1::text) THEN 'taken' ELSE 'repeated' END,"
            " NULL::uuid, false"},
};

enum { NUMBER_SIZE = 24 };

bool webhook_store_user_changed(struct pg_pool *pg, const char *delivery, const char *issuer,
                                const struct clerk_user *user, int64_t timeout_ms,
                                pg_result_fn *done, void *arg, struct err *err)
{
    const struct profile *profile = &user->profile;
    char at_ms[NUMBER_SIZE];
    (void)snprintf(at_ms, sizeof at_ms, "%" PRId64, profile->at_ms);
    const struct pg_parameters parameters = {{delivery, issuer, user->subject, profile->email,
                                              profile->display_name, profile->avatar_url, at_ms,
                                              profile->banned ? "true" : "false"},
                                             8};
    return pg_query_begin(pg, USER_CHANGED, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool webhook_store_user_deleted(struct pg_pool *pg, const char *delivery, const char *issuer,
                                const char *subject, int64_t timeout_ms, pg_result_fn *done,
                                void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{delivery, issuer, subject}, 3};
    return pg_query_begin(pg, USER_DELETED, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool webhook_store_other(struct pg_pool *pg, const char *delivery, int64_t timeout_ms,
                         pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{delivery}, 1};
    return pg_query_begin(pg, OTHER, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool webhook_store_read(const PGresult *result, struct webhook_outcome *out, struct err *err)
{
    if (pg_rows(result) != 1 ||
        !view_copy(view_of(pg_text(result, 0, 0)), out->word, sizeof out->word) ||
        !view_copy(view_of(pg_text(result, 0, 1)), out->user_id, sizeof out->user_id)) {
        return err_set(err, ERR_INTERNAL, "what became of a webhook could not be read");
    }
    out->refused_now = pg_bool(result, 0, 2);
    return true;
}
