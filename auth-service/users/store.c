#include "auth-service/users/store.h"

#include <stdlib.h>

#define FIND_OR_MAKE "user_find_or_make"
#define SET_TIER "user_set_tier"

/* The identity decides who makes the user: of several at a time one inserts it, and the others get
 * no row (the statement sees the past) and ask again. */
const struct pg_statement user_statements[USER_STATEMENT_COUNT] = {
    {FIND_OR_MAKE,
     "WITH found AS ("
     "  SELECT u.id, u.tier, u.suspended_at IS NOT NULL AS suspended"
     "  FROM identities i JOIN users u ON u.id = i.user_id"
     "  WHERE i.issuer = $1::text AND i.subject = $2::text"
     "), made AS ("
     "  INSERT INTO identities (issuer, subject, user_id)"
     "  SELECT $1::text, $2::text, gen_random_uuid() WHERE NOT EXISTS (SELECT FROM found)"
     "  ON CONFLICT DO NOTHING RETURNING user_id"
     "), new_user AS ("
     "  INSERT INTO users (id, email) SELECT user_id, $3::text FROM made RETURNING id, tier"
     ")"
     " SELECT id, tier, suspended, false FROM found"
     " UNION ALL SELECT id, tier, false, true FROM new_user"},
    {SET_TIER, "UPDATE users SET tier = $2::text, updated_at = now()"
               " WHERE id = $1::uuid AND tier <> $2::text RETURNING id"},
};

enum { FIND_ATTEMPTS = 3 };

struct finding {
    struct pg_pool *pg; /* borrowed */
    struct user_identity identity;
    int attempts_left;
    int64_t timeout_ms;
    user_found_fn *done;
    void *arg;
};

static pg_result_fn on_found;

static bool ask(struct finding *finding, struct err *err)
{
    const struct user_identity *identity = &finding->identity;
    struct pg_parameters parameters = {{identity->issuer, identity->subject, identity->email}, 3};
    finding->attempts_left--;
    return pg_query_begin(finding->pg, FIND_OR_MAKE, &parameters, finding->timeout_ms, on_found,
                          finding, err) != NULL;
}

static void finish(struct finding *finding, const struct user *user, const struct err *err)
{
    finding->done(user, err, finding->arg);
    free(finding);
}

static bool read_user(const PGresult *result, struct user *user)
{
    *user = (struct user){.suspended = pg_bool(result, 0, 2), .is_new = pg_bool(result, 0, 3)};
    return view_copy(view_of(pg_text(result, 0, 0)), user->id, sizeof user->id) &&
           view_copy(view_of(pg_text(result, 0, 1)), user->tier, sizeof user->tier);
}

static void on_found(const PGresult *result, const struct err *err, void *arg)
{
    struct finding *finding = arg;
    struct user user;
    struct err failure;
    if (err != NULL) {
        finish(finding, NULL, err);
        return;
    }
    if (pg_rows(result) == 0 && finding->attempts_left > 0) {
        if (!ask(finding, &failure)) {
            finish(finding, NULL, &failure);
        }
        return;
    }
    if (pg_rows(result) == 0 || !read_user(result, &user)) {
        err_set(&failure, ERR_INTERNAL, "the user of an identity could not be read");
        finish(finding, NULL, &failure);
        return;
    }
    finish(finding, &user, NULL);
}

bool user_find_or_make(struct pg_pool *pg, const struct user_identity *identity, int64_t timeout_ms,
                       user_found_fn *done, void *arg, struct err *err)
{
    struct finding *finding = calloc(1, sizeof *finding);
    if (finding == NULL) {
        return err_set(err, ERR_INTERNAL, "finding a user: out of memory");
    }
    *finding = (struct finding){.pg = pg,
                                .identity = *identity,
                                .attempts_left = FIND_ATTEMPTS,
                                .timeout_ms = timeout_ms,
                                .done = done,
                                .arg = arg};
    if (!ask(finding, err)) {
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
