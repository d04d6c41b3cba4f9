/* auth-service/idempotency/store.h: the rows of table idempotency. */
#ifndef AUTH_SERVICE_IDEMPOTENCY_STORE_H
#define AUTH_SERVICE_IDEMPOTENCY_STORE_H

#include "common/base/id.h"
#include "common/db/pg.h"

/* For the pool that the functions are given. */
enum { IDEMPOTENCY_STATEMENT_COUNT = 6 };
extern const struct pg_statement idempotency_statements[IDEMPOTENCY_STATEMENT_COUNT];

enum {
    IDEMPOTENCY_KEYS_MAX = 10000, /* of one user, within 24 hours */
    IDEMPOTENCY_CLEAN_MAX = 1000, /* rows that one statement removes */
};

/* All begin as pg_query_begin and end with done. Digests are in hex. */

bool idempotency_store_claim(struct pg_pool *pg, const char user_id[ID_SIZE],
                             const char *key_digest, const char *request_digest,
                             const char claim[ID_SIZE], int64_t lease_ms, int64_t timeout_ms,
                             pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* The row of a claim. Text lies in the result. */
struct idempotency_row {
    char resource_id[ID_SIZE];
    bool is_again;  /* there was a row before */
    int64_t status; /* 0: none */
    struct view answer_hex;
};
bool idempotency_store_read(const PGresult *result, struct idempotency_row *out,
                            struct err *err) MUST_CHECK;

/* A result without a row: the key is not the try's any more. */
bool idempotency_store_renew(struct pg_pool *pg, const char user_id[ID_SIZE],
                             const char *key_digest, const char claim[ID_SIZE], int64_t lease_ms,
                             int64_t timeout_ms, pg_result_fn *done, void *arg,
                             struct err *err) MUST_CHECK;
/* A result without a row: another try has the key. */
bool idempotency_store_finish(struct pg_pool *pg, const char user_id[ID_SIZE],
                              const char *key_digest, const char claim[ID_SIZE], int64_t status,
                              const char *answer_hex, int64_t timeout_ms, pg_result_fn *done,
                              void *arg, struct err *err) MUST_CHECK;
/* The row goes, or with keeps_id the next try may have it; unless it has an answer or is another
 * try's. */
bool idempotency_store_release(struct pg_pool *pg, const char user_id[ID_SIZE],
                               const char *key_digest, const char claim[ID_SIZE], bool keeps_id,
                               int64_t timeout_ms, pg_result_fn *done, void *arg,
                               struct err *err) MUST_CHECK;

/* The result's one number: how many rows went, at most IDEMPOTENCY_CLEAN_MAX. */
bool idempotency_store_clean(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                             struct err *err) MUST_CHECK;

#endif
