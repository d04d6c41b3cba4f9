/* auth-service/audit/store.h: the seals of the audit trail in PostgreSQL. */
#ifndef AUTH_SERVICE_AUDIT_STORE_H
#define AUTH_SERVICE_AUDIT_STORE_H

#include "common/audit/chain.h"
#include "common/base/encode.h"
#include "common/db/pg.h"

/* For the pool that the sealer is given. */
enum { AUDIT_SEAL_STATEMENT_COUNT = 1 };
extern const struct pg_statement audit_seal_statements[AUDIT_SEAL_STATEMENT_COUNT];

enum { AUDIT_SEAL_BATCH_MAX = 1000 }; /* rows sealed in one statement */

/* Of one statement. */
struct audit_seals_made {
    int64_t
        count;   /* 0: nothing was there, or another process is at it; then the rest says nothing */
    int64_t seq; /* of the last */
    char hash[ENCODE_HEX_SIZE(AUDIT_HASH_BYTES)];
};

/* Seals what waits, up to AUDIT_SEAL_BATCH_MAX rows; done reads the answer with the next. */
bool audit_store_seal(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                      struct err *err) MUST_CHECK;
void audit_store_read_seals(const PGresult *result, struct audit_seals_made *out);

#endif
