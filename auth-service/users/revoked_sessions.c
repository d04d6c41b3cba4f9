#include "auth-service/users/revoked_sessions.h"

#include "common/audit/act.h"
#include "common/contracts/invalidation.h"

#include <stdio.h>

enum { KEY_SIZE = INVALIDATION_CHANNEL_SIZE + SESSION_ID_SIZE + 16 };

struct audit_act *revoked_sessions_begin_act(struct audit_writer *audit, const char *session_id,
                                             struct err *err)
{
    char text[SESSION_ID_SIZE + sizeof "session.ended "];
    struct audit_act *act =
        audit_act_begin_by(audit, AUDIT_SESSION_ENDED, "session", &actor_none, "", err);
    if (act != NULL) {
        (void)snprintf(text, sizeof text, "session.ended %s", session_id);
        audit_act_set_once(act, view_of(text));
    }
    return act;
}

static bool write_key(const char *instance, const char *session_id, char out[KEY_SIZE],
                      struct err *err)
{
    int length = snprintf(out, KEY_SIZE, "insien:%s:clerk:revoked:%s", instance, session_id);
    return (length > 0 && length < KEY_SIZE) ||
           err_set(err, ERR_INTERNAL, "the name of a session is too long");
}

bool revoked_sessions_add(struct redis *redis, const char *instance, const char *session_id,
                          int64_t timeout_ms, redis_reply_fn *done, void *arg, struct err *err)
{
    char key[KEY_SIZE];
    char life[16];
    if (!write_key(instance, session_id, key, err)) {
        return false;
    }
    (void)snprintf(life, sizeof life, "%d", REVOKED_SESSION_LIFE_S);
    const struct view words[] = {VIEW("SET"), view_of(key), VIEW("1"), VIEW("EX"), view_of(life)};
    return redis_send(redis, words, sizeof words / sizeof words[0], timeout_ms, done, arg, err);
}

bool revoked_sessions_ask(struct redis *redis, const char *instance, const char *session_id,
                          int64_t timeout_ms, redis_reply_fn *done, void *arg, struct err *err)
{
    char key[KEY_SIZE];
    if (!write_key(instance, session_id, key, err)) {
        return false;
    }
    const struct view words[] = {VIEW("EXISTS"), view_of(key)};
    return redis_send(redis, words, sizeof words / sizeof words[0], timeout_ms, done, arg, err);
}

bool revoked_sessions_read(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
}
