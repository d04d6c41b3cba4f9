#include "auth-service/users/sign_in.h"

#include "common/base/encode.h"
#include "common/base/str.h"

#include <openssl/evp.h>
#include <stdio.h>

enum {
    ASK_TIMEOUT_MS = 1000,
    DIGEST_SIZE = 32,
    KEY_MAX = 256,
    SESSION_NAME_MAX = ID_SIZE + AUTH_SESSION_ID_MAX + 2,
};

static void on_known(const redisReply *reply, const struct err *err, void *arg)
{
    if (err == NULL && reply->type != REDIS_REPLY_NIL) {
        audit_act_cancel(arg);
    } else {
        audit_act_end(arg);
    }
}

/* By a digest: ids are the issuer's own, of any form. */
static bool write_key(const char *instance, const struct session *session, struct str *out,
                      struct err *err)
{
    uint8_t digest[DIGEST_SIZE];
    char hex[ENCODE_HEX_SIZE(DIGEST_SIZE)];
    unsigned int length = sizeof digest;
    AUTO(str_free) struct str name = STR_INIT(SESSION_NAME_MAX);
    str_appendf(&name, "%s\n%s", session->user->id, session->session_id);
    if (!str_check(&name, "session", err) ||
        EVP_Digest(name.data, name.len, digest, &length, EVP_sha256(), NULL) != 1) {
        return err_set(err, ERR_INTERNAL, "a session's digest could not be made");
    }
    encode_hex(digest, sizeof digest, hex);
    str_appendf(out, "insien:%s:session:told:%s", instance, hex);
    return str_check(out, "key of a session", err);
}

void sign_in_tell(struct redis *redis, const char *instance, struct audit_act *act,
                  const struct session *session)
{
    struct err ignored; /* the record itself goes, once more at worst */
    char life[16];
    AUTO(str_free) struct str key = STR_INIT(KEY_MAX);
    struct audit_record *record = audit_act_record(act);
    memcpy(record->actor_user, session->user->id, sizeof record->actor_user);
    actor_text_set(record->impersonator, sizeof record->impersonator,
                   view_of(session->impersonator));
    audit_text_set(record->target, sizeof record->target, view_of(session->session_id));
    (void)snprintf(life, sizeof life, "%d", SIGN_IN_KEPT_S);
    bool is_known_how = write_key(instance, session, &key, &ignored);
    const struct view words[] = {VIEW("SET"), str_view(&key), VIEW("1"),
                                 VIEW("EX"),  view_of(life),  VIEW("GET")};
    if (!is_known_how || !redis_send(redis, words, sizeof words / sizeof words[0], ASK_TIMEOUT_MS,
                                     on_known, act, &ignored)) {
        audit_act_end(act);
    }
}
