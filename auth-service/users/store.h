/* auth-service/users/store.h: users and their identities in PostgreSQL. */
#ifndef AUTH_SERVICE_USERS_STORE_H
#define AUTH_SERVICE_USERS_STORE_H

#include "auth-service/users/clerk_user.h"
#include "common/base/id.h"
#include "common/contracts/auth.h"
#include "common/db/pg.h"

enum { USER_STATEMENT_COUNT = 4 };
extern const struct pg_statement user_statements[USER_STATEMENT_COUNT];

struct user {
    char id[ID_SIZE];
    char tier[TIER_SIZE];
    bool suspended;
    bool is_new;            /* made by this very look-up */
    bool lacks_profile;     /* what its issuer says of it was never asked */
    bool is_admin;          /* has the role */
    bool session_has_ended; /* that of the identity */
};

/* Strings are borrowed until done. */
struct user_identity {
    const char *issuer;
    const char *subject;
    const char *email;      /* of a user that has to be made; NULL: not known */
    const char *session_id; /* by which it is shown, of Clerk; NULL: another way */
};

/* What whoever proves to be a suspended user is told: ERR_DENIED "account_suspended". Returns
 * false. */
bool user_refuse_suspended(struct err *err);

/* user is NULL when err is not; valid during the call. */
typedef void user_found_fn(const struct user *user, const struct err *err, void *arg);

/* Finds the user of an identity; at first sight makes both, once however many ask at a time. done
 * comes exactly once, later. False and err, without done, when it can't begin. ERR_UNAUTHENTICATED
 * "user_deleted" for an identity that is gone for good. */
bool user_find_or_make(struct pg_pool *pg, const struct user_identity *identity, int64_t timeout_ms,
                       user_found_fn *done, void *arg, struct err *err) MUST_CHECK;

/* Takes what Clerk says of a user, unless we hold something as new. */
bool user_set_profile(struct pg_pool *pg, const char user_id[ID_SIZE],
                      const struct profile *profile, int64_t timeout_ms, pg_result_fn *done,
                      void *arg, struct err *err) MUST_CHECK;
/* Whether that suspended the user, who was not before. */
bool user_set_profile_read(const PGresult *result) MUST_CHECK;

/* tier: "free", "pro" or "enterprise". */
bool user_set_tier(struct pg_pool *pg, const char user_id[ID_SIZE], const char *tier,
                   int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
