/* auth-service/api_keys/check.h: whose key this is, and whether it serves right now. */
#ifndef AUTH_SERVICE_API_KEYS_CHECK_H
#define AUTH_SERVICE_API_KEYS_CHECK_H

#include "auth-service/api_keys/last_used.h"
#include "auth-service/api_keys/proof.h"

/* Borrowed for as long as checks are under way. */
struct key_checker {
    struct pg_pool *pg;
    struct prover *prover;
    struct last_used *last_used;
};

/* row is NULL when err is not; valid during the call. */
typedef void key_checked_fn(const struct api_key_row *row, const struct err *err, void *arg);

/* PostgreSQL is always asked whether the key serves; the caches spare bcrypt alone. Copies key.
 * done comes exactly once, later: with ERR_UNAUTHENTICATED "invalid_api_key" for every key that
 * does not serve, and ERR_DENIED "account_suspended" for whoever has the whole key of a user who is
 * suspended. False and err, without done, for what is known at once. */
bool key_check(const struct key_checker *checker, struct view key, int64_t timeout_ms,
               key_checked_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
