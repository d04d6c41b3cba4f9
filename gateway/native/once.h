/* gateway/native/once.h: Idempotency-Key: a request that is repeated with the same key is answered,
 * not run twice. */
#ifndef GATEWAY_NATIVE_ONCE_H
#define GATEWAY_NATIVE_ONCE_H

#include "common/base/err.h"
#include "common/base/id.h"

enum {
    ONCE_KEY_MAX = 128,
    ONCE_SIZE = ID_SIZE + 6 + 64, /* "<user id>/idem/<hex>" and the NUL */
};

/* The key itself, when it is one. ERR_INVALID "invalid_idempotency_key" when it is not 1 to
 * ONCE_KEY_MAX bytes of visible ASCII. */
bool once_copy_key(struct view key, char out[ONCE_KEY_MAX + 1], struct err *err) MUST_CHECK;

/* What the agent knows the request by; the key itself may be too long for that. Errors as
 * above. */
bool once_write(const char user_id[ID_SIZE], struct view key, char out[ONCE_SIZE],
                struct err *err) MUST_CHECK;

#endif
