/* common/ipc/wire.h: text as messages of nng; private to this folder. */
#ifndef COMMON_IPC_WIRE_H
#define COMMON_IPC_WIRE_H

#include "common/ipc/envelope.h"

#include <nng/nng.h>

/* Copies text into a new message, owned by the caller until nng has sent it. */
static inline bool ipc_message_new(struct view text, nng_msg **out, struct err *err)
{
    int failure = nng_msg_alloc(out, text.len);
    if (failure != 0) {
        return err_set(err, ERR_INTERNAL, "ipc: %s", nng_strerror(failure));
    }
    memcpy(nng_msg_body(*out), text.ptr, text.len);
    return true;
}

#endif
