#include "auth-service/database.h"

#include "auth-service/api_keys/store.h"
#include "auth-service/audit/store.h"
#include "auth-service/audit/trail_store.h"
#include "auth-service/idempotency/store.h"
#include "auth-service/tokens/store.h"
#include "auth-service/users/account_store.h"
#include "auth-service/users/admin_store.h"
#include "auth-service/users/store.h"
#include "auth-service/webhooks/store.h"
#include "common/audit/writer.h"

enum {
    STATEMENT_TIMEOUT_MS = 10 * 1000,
    WEBHOOK_STATEMENTS_AT = 1 + USER_STATEMENT_COUNT + API_KEY_STATEMENT_COUNT,
    AUDIT_STATEMENTS_AT = WEBHOOK_STATEMENTS_AT + WEBHOOK_STATEMENT_COUNT,
    SEALER_STATEMENTS_AT = AUDIT_STATEMENTS_AT + AUDIT_STATEMENT_COUNT,
    IDEMPOTENCY_STATEMENTS_AT = SEALER_STATEMENTS_AT + AUDIT_SEAL_STATEMENT_COUNT,
    ACCOUNT_STATEMENTS_AT = IDEMPOTENCY_STATEMENTS_AT + IDEMPOTENCY_STATEMENT_COUNT,
    TRAIL_STATEMENTS_AT = ACCOUNT_STATEMENTS_AT + ACCOUNT_STATEMENT_COUNT,
    ADMIN_STATEMENTS_AT = TRAIL_STATEMENTS_AT + AUDIT_TRAIL_STATEMENT_COUNT,
    TOKEN_STATEMENTS_AT = ADMIN_STATEMENTS_AT + ADMIN_STATEMENT_COUNT,
    STATEMENT_COUNT = TOKEN_STATEMENTS_AT + TOKEN_STATEMENT_COUNT,
};

#define PING "ping"

/* Filled once, by the first database_open. */
static struct pg_statement statements[STATEMENT_COUNT] = {{PING, "SELECT 1"}};

struct pg_pool *database_open(struct loop *loop, const char *url, size_t connections,
                              struct err *err)
{
    memcpy(&statements[1], user_statements, sizeof user_statements);
    memcpy(&statements[1 + USER_STATEMENT_COUNT], api_key_statements, sizeof api_key_statements);
    memcpy(&statements[WEBHOOK_STATEMENTS_AT], webhook_statements, sizeof webhook_statements);
    memcpy(&statements[AUDIT_STATEMENTS_AT], audit_statements,
           AUDIT_STATEMENT_COUNT * sizeof statements[0]);
    memcpy(&statements[SEALER_STATEMENTS_AT], audit_seal_statements,
           AUDIT_SEAL_STATEMENT_COUNT * sizeof statements[0]);
    memcpy(&statements[IDEMPOTENCY_STATEMENTS_AT], idempotency_statements,
           sizeof idempotency_statements);
    memcpy(&statements[ACCOUNT_STATEMENTS_AT], account_statements, sizeof account_statements);
    memcpy(&statements[TRAIL_STATEMENTS_AT], audit_trail_statements, sizeof audit_trail_statements);
    memcpy(&statements[ADMIN_STATEMENTS_AT], admin_statements, sizeof admin_statements);
    memcpy(&statements[TOKEN_STATEMENTS_AT], token_statements, sizeof token_statements);
    const struct pg_options options = {.url = url,
                                       .connections = connections,
                                       .statements = statements,
                                       .statement_count = STATEMENT_COUNT,
                                       .statement_timeout_ms = STATEMENT_TIMEOUT_MS};
    return pg_pool_open(loop, &options, err);
}

bool database_ping(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                   struct err *err)
{
    const struct pg_parameters none = {.count = 0};
    return pg_query_begin(pg, PING, &none, timeout_ms, done, arg, err) != NULL;
}
