/* common/ipc/frame.h: how messages follow each other on a connection; private to this folder.
 *
 * A frame is u32 length of the text, u64 call id (both big endian), text (an envelope). A reply
 * carries the id of its request. Over TLS each side first sends a greeting, which has id 0 and no
 * text: where it arrives, the other side's certificate was found good. */
#ifndef COMMON_IPC_FRAME_H
#define COMMON_IPC_FRAME_H

#include "common/base/str.h"

#include <stdint.h>

enum {
    IPC_FRAME_HEAD_SIZE = 12,
    IPC_GREETING_WAIT_MS = 5000, /* for the handshake and the peer's greeting */
};

struct ipc_frame {
    uint64_t id;
    struct view text; /* points into the bytes it was read from */
};

enum ipc_frame_state {
    IPC_FRAME_PARTIAL,
    IPC_FRAME_WHOLE,
    IPC_FRAME_TOO_LONG, /* over IPC_MESSAGE_MAX: what follows can't be trusted */
};

/* Reads the frame that bytes begin with. *size is its whole size, known (0 before that) once its
 * head is there; *frame is filled when it is whole. */
enum ipc_frame_state ipc_frame_read(struct view bytes, struct ipc_frame *frame, size_t *size);

/* Appends one; a text over IPC_MESSAGE_MAX is the caller's bug. out remembers failure. */
void ipc_frame_write(struct str *out, uint64_t id, struct view text);

static inline bool ipc_frame_is_greeting(const struct ipc_frame *frame)
{
    return frame->id == 0 && frame->text.len == 0;
}

#endif
