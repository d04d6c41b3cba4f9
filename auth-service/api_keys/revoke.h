/* auth-service/api_keys/revoke.h: ends a key and all that came of it, in the rows first and
 * then everywhere. */
#ifndef AUTH_SERVICE_API_KEYS_REVOKE_H
#define AUTH_SERVICE_API_KEYS_REVOKE_H

#include "auth-service/api_keys/announce.h"
#include "auth-service/api_keys/store.h"

/* Borrowed for as long as revocations are under way. */
struct revoker {
    struct pg_pool *pg;
    struct announcer *announcer;
};

/* err is NULL when the keys are revoked (or were). */
typedef void key_revoked_fn(const struct err *err, void *arg);

/* done comes exactly once, later, when the rows say so and Redis was told, or could not be. Copies
 * what it needs of actor. */
bool key_revoke(const struct revoker *revoker, const char id[ID_SIZE],
                const struct api_key_actor *actor, int64_t timeout_ms, key_revoked_fn *done,
                void *arg, struct err *err) MUST_CHECK;

/* The same of whoever's key, by an administrator. */
bool key_revoke_any(const struct revoker *revoker, const struct admin_revoke_key *wanted,
                    int64_t timeout_ms, key_revoked_fn *done, void *arg,
                    struct err *err) MUST_CHECK;

/* For the start of a process: announces again, of keys and users, what one before it may have died
 * too early for. */
void keys_announce_revoked_lately(const struct revoker *revoker);

#endif
