#include "auth-service/audit/store.h"

#include <stdio.h>

#define SEAL "audit_seal"

enum { NUMBER_SIZE = 12 };

const struct pg_statement audit_seal_statements[AUDIT_SEAL_STATEMENT_COUNT] = {
    {SEAL, "SELECT sealed, seq, hash FROM audit_seal($1::int)"},
};

bool audit_store_seal(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                      struct err *err)
{
    char most[NUMBER_SIZE];
    (void)snprintf(most, sizeof most, "%d", AUDIT_SEAL_BATCH_MAX);
    const struct pg_parameters parameters = {{most}, 1};
    return pg_query_begin(pg, SEAL, &parameters, timeout_ms, done, arg, err) != NULL;
}

void audit_store_read_seals(const PGresult *result, struct audit_seals_made *out)
{
    enum { SEALED, SEQ, HASH };
    *out = (struct audit_seals_made){.count = pg_int(result, 0, SEALED)};
    if (out->count > 0) {
        out->seq = pg_int(result, 0, SEQ);
        (void)snprintf(out->hash, sizeof out->hash, "%s", pg_text(result, 0, HASH));
    }
}
