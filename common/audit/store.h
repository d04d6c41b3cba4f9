/* common/audit/store.h: the audit trail's table: for this folder, and for who stores the records of
 * others. */
#ifndef COMMON_AUDIT_STORE_H
#define COMMON_AUDIT_STORE_H

#include "common/audit/chain.h"
#include "common/audit/writer.h"

enum {
    AUDIT_RECORD_TEXT_MAX = 12 * 1024, /* bytes of a record as JSON, when all has to be escaped */
    AUDIT_BATCH_TEXT_MAX = AUDIT_BATCH_MAX * AUDIT_RECORD_TEXT_MAX,
};

/* Stores cleaned records. done comes once, later; or false, and it does not come. */
bool audit_store_insert(struct pg_pool *pg, const char *service, const struct audit_item *items,
                        size_t count, int64_t timeout_ms, pg_result_fn *done, void *arg,
                        struct err *err) MUST_CHECK;

/* Stores one of a program that has neither pool nor loop, in the transaction that the connection is
 * in: what the record tells of and the record are there together, or neither is. Blocks; cleans the
 * record. To be called last, as records are stored in order. */
bool audit_store_with(PGconn *pg, const char *service, struct audit_record *record,
                      struct err *err) MUST_CHECK;

#endif
