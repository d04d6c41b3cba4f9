#include "auth-service/users/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIND "user_find"
#define MAKE "user_make"
#define SET_TIER "user_set_tier"
#define SET_PROFILE "user_set_profile"

enum { NUMBER_SIZE = 24 };

const struct pg_statement user_statements[USER_STATEMENT_COUNT] = {
    {FIND, "SELECT u.id, u.tier, u.suspended_at IS NOT NULL, false, u.profile_at IS NULL,"
           " u.role = 'admin', EXISTS (SELECT 1 FROM ended_sessions e WHERE e.id = $3::text)"
           " FROM identities i JOIN users u ON u.id = i.user_id"
           " WHERE i.issuer = $1::text AND i.subject = $2::text"},
    /* Of several at a time one makes the user; the others find it. */
    {MAKE, "SELECT user_id, tier, suspended, is_new, true, is_admin,"
           " EXISTS (SELECT 1 FROM ended_sessions e WHERE e.id = $4::text)"
           " FROM identity_user($1::text, $2::text, $3::text)"},
    {SET_TIER, "UPDATE users SET tier = $2::text, updated_at = now()"
               " WHERE id = $1::uuid AND tier <> $2::text RETURNING id"},
    {SET_PROFILE, "SELECT user_set_profile($1::uuid, nullif($2::text, ''), nullif($3::text, ''),"
                  " nullif($4::text, ''), to_timestamp($5::bigint / 1000.0), $6::boolean)"},
};

bool user_refuse_suspended(struct err *err)
{
    return err_set_reason(err, ERR_DENIED, "account_suspended", "This account is suspended.");
}

/* FIND, then MAKE when there was none. */
struct finding {
    struct pg_pool *pg; /* borrowed */
    struct user_identity identity;
    int64_t timeout_ms;
    user_found_fn *done;
    void *arg;
};

static void finish(struct finding *finding, const struct user *user, const struct err *err)
{
    finding->done(user, err, finding->arg);
    free(finding);
}

static bool read_user(const PGresult *result, struct user *user)
{
    enum { ID, TIER, SUSPENDED, IS_NEW, LACKS_PROFILE, IS_ADMIN, HAS_ENDED };
    *user = (struct user){.suspended = pg_bool(result, 0, SUSPENDED),
                          .is_new = pg_bool(result, 0, IS_NEW),
                          .lacks_profile = pg_bool(result, 0, LACKS_PROFILE),
                          .is_admin = pg_bool(result, 0, IS_ADMIN),
                          .session_has_ended = pg_bool(result, 0, HAS_ENDED)};
    return view_copy(view_of(pg_text(result, 0, ID)), user->id, sizeof user->id) &&
           view_copy(view_of(pg_text(result, 0, TIER)), user->tier, sizeof user->tier);
}

static void on_made(const PGresult *result, const struct err *err, void *arg)
{
    struct finding *finding = arg;
    struct user user;
    struct err failure;
    if (err != NULL) {
        finish(finding, NULL, err);
    } else if (pg_rows(result) != 1 || !read_user(result, &user)) {
        err_set(&failure, ERR_INTERNAL, "the user of an identity could not be read");
        finish(finding, NULL, &failure);
    } else {
        finish(finding, &user, NULL);
    }
}

static void on_found(const PGresult *result, const struct err *err, void *arg)
{
    struct finding *finding = arg;
    const struct user_identity *identity = &finding->identity;
    struct err failure;
    if (err != NULL || pg_rows(result) != 0) {
        on_made(result, err, finding);
        return;
    }
    const struct pg_parameters parameters = {
        {identity->issuer, identity->subject, identity->email, identity->session_id}, 4};
    if (pg_query_begin(finding->pg, MAKE, &parameters, finding->timeout_ms, on_made, finding,
                       &failure) == NULL) {
        finish(finding, NULL, &failure);
    }
}

bool user_find_or_make(struct pg_pool *pg, const struct user_identity *identity, int64_t timeout_ms,
                       user_found_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {
        {identity->issuer, identity->subject, identity->session_id}, 3};
    struct finding *finding = calloc(1, sizeof *finding);
    if (finding == NULL) {
        return err_set(err, ERR_INTERNAL, "finding a user: out of memory");
    }
    *finding = (struct finding){
        .pg = pg, .identity = *identity, .timeout_ms = timeout_ms, .done = done, .arg = arg};
    if (pg_query_begin(pg, FIND, &parameters, timeout_ms, on_found, finding, err) == NULL) {
        free(finding);
        return false;
    }
    return true;
}

bool user_set_tier(struct pg_pool *pg, const char user_id[ID_SIZE], const char *tier,
                   int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    struct pg_parameters parameters = {{user_id, tier}, 2};
    return pg_query_begin(pg, SET_TIER, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool user_set_profile(struct pg_pool *pg, const char user_id[ID_SIZE],
                      const struct profile *profile, int64_t timeout_ms, pg_result_fn *done,
                      void *arg, struct err *err)
{
    char at_ms[NUMBER_SIZE];
    (void)snprintf(at_ms, sizeof at_ms, "%" PRId64, profile->at_ms);
    const struct pg_parameters parameters = {{user_id, profile->email, profile->display_name,
                                              profile->avatar_url, at_ms,
                                              profile->banned ? "true" : "false"},
                                             6};
    return pg_query_begin(pg, SET_PROFILE, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool user_set_profile_read(const PGresult *result)
{
    return pg_rows(result) == 1 && pg_bool(result, 0, 0);
}
