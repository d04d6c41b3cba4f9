/* auth-service/users/revoked_sessions.h: sessions that ended while tokens of theirs are still good,
 * in Redis for as long as such a token can live. */
#ifndef AUTH_SERVICE_USERS_REVOKED_SESSIONS_H
#define AUTH_SERVICE_USERS_REVOKED_SESSIONS_H

#include "common/redis/redis.h"

enum { REVOKED_SESSION_LIFE_S = 120 }; /* twice the life of a token */

/* session_id must be sound (session_id_is_sound). done gets the reply; it comes once, later. */
bool revoked_sessions_add(struct redis *redis, const char *instance, const char *session_id,
                          int64_t timeout_ms, redis_reply_fn *done, void *arg,
                          struct err *err) MUST_CHECK;
bool revoked_sessions_ask(struct redis *redis, const char *instance, const char *session_id,
                          int64_t timeout_ms, redis_reply_fn *done, void *arg,
                          struct err *err) MUST_CHECK;
/* What the reply to a question says. */
bool revoked_sessions_read(const redisReply *reply) MUST_CHECK;

#endif
