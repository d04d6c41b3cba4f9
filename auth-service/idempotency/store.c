#include "auth-service/idempotency/store.h"

#include <inttypes.h>
#include <stdio.h>

#define CLAIM "idempotency_claim"
#define RENEW "idempotency_renew"
#define FINISH "idempotency_finish"
#define FORGET "idempotency_forget"
#define GIVE_BACK "idempotency_give_back"
#define CLEAN "idempotency_clean"

#define ITS_ROW " WHERE user_id = $1::uuid AND key_digest = decode($2, 'hex') AND claim = $3::uuid"

const struct pg_statement idempotency_statements[IDEMPOTENCY_STATEMENT_COUNT] = {
    {CLAIM, "SELECT resource_id, coalesce(status, 0), coalesce(encode(answer, 'hex'), ''),"
            " created_at < now()"
            " FROM idempotency_claim($1::uuid, decode($2, 'hex'), decode($3, 'hex'), $4::uuid,"
            " $5::bigint, $6::integer)"},
    {RENEW,
     "UPDATE idempotency SET claimed_until = now() + $4::bigint * interval '1 millisecond'" ITS_ROW
     " AND status IS NULL RETURNING 1"},
    {FINISH, "UPDATE idempotency SET status = $4::integer, answer = decode($5, 'hex')" ITS_ROW
             " RETURNING 1"},
    {FORGET, "DELETE FROM idempotency" ITS_ROW " AND status IS NULL"},
    {GIVE_BACK, "UPDATE idempotency SET claimed_until = now()" ITS_ROW " AND status IS NULL"},
    {CLEAN, "SELECT idempotency_clean($1::integer)"},
};

enum { NUMBER_SIZE = 24 };

static void write_number(int64_t number, char out[NUMBER_SIZE])
{
    (void)snprintf(out, NUMBER_SIZE, "%" PRId64, number);
}

bool idempotency_store_claim(struct pg_pool *pg, const char user_id[ID_SIZE],
                             const char *key_digest, const char *request_digest,
                             const char claim[ID_SIZE], int64_t lease_ms, int64_t timeout_ms,
                             pg_result_fn *done, void *arg, struct err *err)
{
    char lease[NUMBER_SIZE];
    char most[NUMBER_SIZE];
    write_number(lease_ms, lease);
    write_number(IDEMPOTENCY_KEYS_MAX, most);
    const struct pg_parameters parameters = {
        {user_id, key_digest, request_digest, claim, lease, most}, 6};
    return pg_query_begin(pg, CLAIM, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool idempotency_store_renew(struct pg_pool *pg, const char user_id[ID_SIZE],
                             const char *key_digest, const char claim[ID_SIZE], int64_t lease_ms,
                             int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    char lease[NUMBER_SIZE];
    write_number(lease_ms, lease);
    const struct pg_parameters parameters = {{user_id, key_digest, claim, lease}, 4};
    return pg_query_begin(pg, RENEW, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool idempotency_store_read(const PGresult *result, struct idempotency_row *out, struct err *err)
{
    enum { RESOURCE_ID, STATUS, ANSWER, IS_AGAIN };
    if (pg_rows(result) != 1 ||
        !view_copy(view_of(pg_text(result, 0, RESOURCE_ID)), out->resource_id, ID_SIZE)) {
        return err_set(err, ERR_INTERNAL, "the row of an idempotency key can't be read");
    }
    out->status = pg_int(result, 0, STATUS);
    out->is_again = pg_bool(result, 0, IS_AGAIN);
    out->answer_hex = view_of(pg_text(result, 0, ANSWER));
    return true;
}

bool idempotency_store_finish(struct pg_pool *pg, const char user_id[ID_SIZE],
                              const char *key_digest, const char claim[ID_SIZE], int64_t status,
                              const char *answer_hex, int64_t timeout_ms, pg_result_fn *done,
                              void *arg, struct err *err)
{
    char number[NUMBER_SIZE];
    write_number(status, number);
    const struct pg_parameters parameters = {{user_id, key_digest, claim, number, answer_hex}, 5};
    return pg_query_begin(pg, FINISH, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool idempotency_store_release(struct pg_pool *pg, const char user_id[ID_SIZE],
                               const char *key_digest, const char claim[ID_SIZE], bool keeps_id,
                               int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    const char *statement = keeps_id ? GIVE_BACK : FORGET;
    const struct pg_parameters parameters = {{user_id, key_digest, claim}, 3};
    return pg_query_begin(pg, statement, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool idempotency_store_clean(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                             struct err *err)
{
    char most[NUMBER_SIZE];
    write_number(IDEMPOTENCY_CLEAN_MAX, most);
    const struct pg_parameters parameters = {{most}, 1};
    return pg_query_begin(pg, CLEAN, &parameters, timeout_ms, done, arg, err) != NULL;
}
