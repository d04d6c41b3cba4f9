/* common/contracts/invalidation.h: what the services publish in Redis so that gateways forget. */
#ifndef COMMON_CONTRACTS_INVALIDATION_H
#define COMMON_CONTRACTS_INVALIDATION_H

#include "common/base/id.h"

enum {
    INVALIDATION_CHANNEL_SIZE = 96,
    INVALIDATION_MESSAGE_SIZE = 64,
};

enum invalidation_kind {
    INVALIDATE_KEY,     /* an API key was revoked */
    INVALIDATE_USER,    /* all keys of a user */
    INVALIDATE_SANDBOX, /* a sandbox's row changed */
};

/* "insien:<instance>:invalidate". */
bool invalidation_channel(const char *instance, char out[INVALIDATION_CHANNEL_SIZE],
                          struct err *err) MUST_CHECK;
/* "key <uuid>", "user <uuid>", "sandbox <uuid>". */
void invalidation_write(enum invalidation_kind kind, const char id[ID_SIZE],
                        char out[INVALIDATION_MESSAGE_SIZE]);
bool invalidation_read(struct view message, enum invalidation_kind *kind,
                       char id[ID_SIZE]) MUST_CHECK;

#endif
