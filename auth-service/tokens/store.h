/* auth-service/tokens/store.h: what client tokens hang on: the key or the session that made them.
 */
#ifndef AUTH_SERVICE_TOKENS_STORE_H
#define AUTH_SERVICE_TOKENS_STORE_H

#include "common/base/id.h"
#include "common/contracts/auth.h"
#include "common/db/pg.h"

/* For the pool that the function is given. */
enum { TOKEN_STATEMENT_COUNT = 2 };
extern const struct pg_statement token_statements[TOKEN_STATEMENT_COUNT];

/* Borrowed during the call. */
struct token_maker {
    const char *user_id;
    const char *api_key_id;      /* "": a session */
    const char *session_id;      /* "": a key, or not said */
    const char *sandbox_ends_at; /* RFC 3339; "": not asked for */
};
/* done gets what token_maker_read reads. */
bool token_maker_find(struct pg_pool *pg, const struct token_maker *maker, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* key_limits lies in the result. */
struct token_maker_row {
    char tier[TIER_SIZE];
    unsigned scopes;             /* of AUTH_SCOPES_CLIENT: what its tokens may have */
    int64_t requests_per_minute; /* of the key; 0: no limit */
    int64_t ends_at_ms; /* of the key or the sandbox, what is first; wall clock; 0: neither does */
    bool is_suspended;  /* the user: its keys and sessions are refused as well */
    const char *key_limits; /* as auth_identity has them; of the key */
};
/* False when the maker does not serve (any more). */
bool token_maker_read(const PGresult *result, struct token_maker_row *out) MUST_CHECK;

/* The session has ended: its tokens serve no more. session_id must be sound (session_id_is_sound).
 * Again does no harm. */
bool token_maker_end_session(struct pg_pool *pg, const char *session_id, int64_t timeout_ms,
                             pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
