/* auth-service/admin/store.h: what the verification of the audit trail reads of PostgreSQL.
 * Blocking, on a connection of the caller's. */
#ifndef AUTH_SERVICE_ADMIN_STORE_H
#define AUTH_SERVICE_ADMIN_STORE_H

#include "common/audit/chain.h"

/* The columns of a page: one row a seal, in their order. From AUDIT_PAGE_ROW on stand those of
 * AUDIT_ROW_COLUMNS, NULL when the sealed row is gone; the personal ones are NULL when erased. */
enum audit_page_column {
    AUDIT_PAGE_SEQ,
    AUDIT_PAGE_HASH,
    AUDIT_PAGE_AUDIT_ID,
    AUDIT_PAGE_PERSONAL_ID,
    AUDIT_PAGE_SALT,
    AUDIT_PAGE_ADDRESS,
    AUDIT_PAGE_IMPERSONATOR,
    AUDIT_PAGE_USER_AGENT,
    AUDIT_PAGE_ROW,
    AUDIT_PAGE_ROW_DIGEST = AUDIT_PAGE_ROW + AUDIT_ROW_COLUMN_COUNT - 1,
};

/* One snapshot, for all that is read until the end. */
bool audit_snapshot_begin(PGconn *pg, struct err *err) MUST_CHECK;
void audit_snapshot_end(PGconn *pg);

/* Each result is for the caller to clear; NULL and err when it could not be asked for. */

/* The seals behind seq, some at a time; none: it was the last page. */
PGresult *audit_read_page(PGconn *pg, int64_t seq, struct err *err) MUST_CHECK;
/* The first row up to id that has no seal; none: there is no such row. */
PGresult *audit_read_put_in(PGconn *pg, int64_t id, struct err *err) MUST_CHECK;
/* One number: of the rows behind id. */
PGresult *audit_read_unsealed(PGconn *pg, int64_t id, struct err *err) MUST_CHECK;

#endif
