/* auth-service/audit/trail_store.h: the audit trail as it is read, in pages. */
#ifndef AUTH_SERVICE_AUDIT_TRAIL_STORE_H
#define AUTH_SERVICE_AUDIT_TRAIL_STORE_H

#include "common/base/str.h"
#include "common/contracts/users.h"
#include "common/db/pg.h"

enum { AUDIT_TRAIL_STATEMENT_COUNT = 3 };
extern const struct pg_statement audit_trail_statements[AUDIT_TRAIL_STATEMENT_COUNT];

enum {
    AUDIT_TRAIL_TEXT_MAX = 2 * 1024 * 1024, /* bytes of a page as JSON */
    AUDIT_CURSOR_SIZE = 32,
};

/* Rows for audit_trail_write: one more than the page has, when there are more. ERR_INVALID
 * "invalid_cursor". */
bool audit_trail_list(struct pg_pool *pg, const struct auth_list_audit *wanted, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* The records as a JSON array, limit of them at most, and where the next page begins: "" when there
 * is none. out remembers failure. */
void audit_trail_write(const PGresult *result, int64_t limit, struct str *out,
                       char cursor[AUDIT_CURSOR_SIZE]);

#endif
