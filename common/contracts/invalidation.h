/* common/contracts/invalidation.h: what the services publish in Redis so that gateways forget. */
#ifndef COMMON_CONTRACTS_INVALIDATION_H
#define COMMON_CONTRACTS_INVALIDATION_H

#include "common/base/id.h"

enum {
    INVALIDATION_CHANNEL_SIZE = 96,
    SESSION_ID_MAX = 128, /* bytes of a session's id */
    SESSION_ID_SIZE = SESSION_ID_MAX + 1,
    INVALIDATION_ID_SIZE = SESSION_ID_SIZE, /* of any kind */
    INVALIDATION_MESSAGE_SIZE = INVALIDATION_ID_SIZE + 8,
};

enum invalidation_kind {
    INVALIDATE_KEY,     /* an API key was revoked */
    INVALIDATE_USER,    /* a user was suspended or deleted: nothing of theirs serves any more */
    INVALIDATE_SANDBOX, /* a sandbox's row changed */
    INVALIDATE_ACCOUNT, /* what a user may do changed; what they have open goes on */
    INVALIDATE_SESSION, /* a session of a signed-in person ended; its id is no UUID */
    INVALIDATE_EVENTS,  /* there are new events for a user; nothing is to be forgotten */
    /* A sandbox-service began anew: the one before it may have changed rows, and died before it
     * told of them. Has no id. */
    INVALIDATE_SANDBOXES,
};

/* "insien:<instance>:invalidate". */
bool invalidation_channel(const char *instance, char out[INVALIDATION_CHANNEL_SIZE],
                          struct err *err) MUST_CHECK;
/* Whether an issuer's name of a session can be told: 1 to SESSION_ID_MAX of [A-Za-z0-9_]. */
bool session_id_is_sound(struct view id) MUST_CHECK;

/* "key <uuid>", "user <uuid>", "sandbox <uuid>", "account <uuid>", "session <id>",
 * "events <uuid>", "sandboxes". The id must be sound, or "" where there is none. */
void invalidation_write(enum invalidation_kind kind, const char *id,
                        char out[INVALIDATION_MESSAGE_SIZE]);
bool invalidation_read(struct view message, enum invalidation_kind *kind,
                       char id[INVALIDATION_ID_SIZE]) MUST_CHECK;

#endif
