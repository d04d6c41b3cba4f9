/* auth-service/users/sign_in.h: sessions that are accepted for the first time, in the audit trail,
 * each once for all processes: Redis remembers them while tokens of theirs come. */
#ifndef AUTH_SERVICE_USERS_SIGN_IN_H
#define AUTH_SERVICE_USERS_SIGN_IN_H

#include "auth-service/users/session.h"
#include "common/audit/writer.h"
#include "common/redis/redis.h"

enum { SIGN_IN_KEPT_S = 30 * 24 * 3600 }; /* since the session was seen last */

/* Takes act, of action AUDIT_SESSION_STARTED: the record goes its way unless the session was told
 * before. While Redis can't say, it goes. An issuer that names no sessions has one a user. */
void sign_in_tell(struct redis *redis, const char *instance, struct audit_act *act,
                  const struct session *session);

#endif
