/* auth-service/users/revoked_sessions.h: sessions that ended while tokens of theirs are still good,
 * in Redis for as long as such a token can live. */
#ifndef AUTH_SERVICE_USERS_REVOKED_SESSIONS_H
#define AUTH_SERVICE_USERS_REVOKED_SESSIONS_H

#include "common/redis/redis.h"

struct audit_act;
struct audit_writer;

/* A session ends as its issuer says: of those who hear of it one record is stored. ERR_UNAVAILABLE
 * "audit_unavailable"; ended by audit_act_end_with. */
struct audit_act *revoked_sessions_begin_act(struct audit_writer *audit, const char *session_id,
                                             struct err *err) MUST_CHECK;

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
