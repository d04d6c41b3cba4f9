/* auth-service/users/admin_store.h: users as administrators see and change them, in PostgreSQL.
 * Errors are as the methods of common/contracts/admin.h have them. */
#ifndef AUTH_SERVICE_USERS_ADMIN_STORE_H
#define AUTH_SERVICE_USERS_ADMIN_STORE_H

#include "common/base/str.h"
#include "common/contracts/admin.h"
#include "common/db/pg.h"
#include "common/db/position.h"

enum { ADMIN_STATEMENT_COUNT = 2 };
extern const struct pg_statement admin_statements[ADMIN_STATEMENT_COUNT];

/* One row more than the page has, when there are more: for the next two. */
bool admin_list_users(struct pg_pool *pg, const struct admin_list_users *wanted, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* The first count rows as the JSON array that the API shows. */
void admin_users_read(const PGresult *result, int count, struct str *out);
void admin_user_position(const PGresult *result, int row, struct position *out);

bool admin_change_user(struct pg_pool *pg, const struct admin_change_user *change,
                       int64_t timeout_ms, pg_result_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
/* The user as the API shows it. */
void admin_user_read(const PGresult *result, struct str *out);
/* Whether the user is suspended now. */
bool admin_user_is_suspended(const PGresult *result) MUST_CHECK;

#endif
