/* common/audit/store.h: the audit trail's table; private to this folder. */
#ifndef COMMON_AUDIT_STORE_H
#define COMMON_AUDIT_STORE_H

#include "common/audit/chain.h"
#include "common/db/pg.h"

enum {
    AUDIT_RECORD_TEXT_MAX = 12 * 1024, /* bytes of a record as JSON, when all has to be escaped */
    AUDIT_BATCH_MAX = 64,              /* records in one statement */
    AUDIT_BATCH_TEXT_MAX = AUDIT_BATCH_MAX * AUDIT_RECORD_TEXT_MAX,
};

struct json_writer;

/* Writes a cleaned record as one item of a batch. age_ms: how long ago it happened. A record with a
 * salt that was stored before is not stored again. */
bool audit_store_add(struct json_writer *batch, const struct audit_record *record,
                     const uint8_t salt[AUDIT_SALT_BYTES], int64_t age_ms,
                     struct err *err) MUST_CHECK;

/* batch: a JSON array of such items. */
bool audit_store_insert(struct pg_pool *pg, const char *service, const char *batch,
                        int64_t timeout_ms, pg_result_fn *done, void *arg,
                        struct err *err) MUST_CHECK;

#endif
