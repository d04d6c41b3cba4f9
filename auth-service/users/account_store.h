/* auth-service/users/account_store.h: a user's own account in PostgreSQL. */
#ifndef AUTH_SERVICE_USERS_ACCOUNT_STORE_H
#define AUTH_SERVICE_USERS_ACCOUNT_STORE_H

#include "common/contracts/users.h"
#include "common/db/pg.h"

enum { ACCOUNT_STATEMENT_COUNT = 4 };
extern const struct pg_statement account_statements[ACCOUNT_STATEMENT_COUNT];

enum { ACCOUNT_ERASE_BATCH = 2000 }; /* records of the audit trail that account_erase looks at */

/* One row, for account_read; none when there is no such user (any more). */
bool account_get(struct pg_pool *pg, const char user_id[ID_SIZE], int64_t timeout_ms,
                 pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* The same row, changed. ERR_UNAUTHENTICATED "invalid_api_key" when the user or the key that acts
 * does not serve. */
bool account_update(struct pg_pool *pg, const struct auth_update_user *update, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* The account is over. ERR_UNAUTHENTICATED as above; ERR_DENIED "child_key". */
bool account_delete(struct pg_pool *pg, const struct auth_delete_user *leave, int64_t timeout_ms,
                    pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* ERR_UNAUTHENTICATED "invalid_api_key" when there is no row. The views point into the result. */
bool account_read(const PGresult *result, struct auth_user *out, struct err *err) MUST_CHECK;

/* Erases some of what the audit trail tells of somebody who is gone. */
bool account_erase(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                   struct err *err) MUST_CHECK;
/* Whether there may be more to do. */
bool account_erase_read(const PGresult *result) MUST_CHECK;

#endif
