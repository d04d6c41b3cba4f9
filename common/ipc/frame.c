#include "common/ipc/frame.h"

#include "common/ipc/envelope.h"

#include <assert.h>
#include <endian.h>

enum ipc_frame_state ipc_frame_read(struct view bytes, struct ipc_frame *frame, size_t *size)
{
    *size = 0;
    if (bytes.len < IPC_FRAME_HEAD_SIZE) {
        return IPC_FRAME_PARTIAL;
    }
    uint32_t len;
    uint64_t id;
    memcpy(&len, bytes.ptr, sizeof len);
    memcpy(&id, bytes.ptr + sizeof len, sizeof id);
    len = be32toh(len);
    if (len > IPC_MESSAGE_MAX) {
        return IPC_FRAME_TOO_LONG;
    }
    *size = IPC_FRAME_HEAD_SIZE + (size_t)len;
    if (bytes.len < *size) {
        return IPC_FRAME_PARTIAL;
    }
    frame->id = be64toh(id);
    frame->text = (struct view){bytes.ptr + IPC_FRAME_HEAD_SIZE, len};
    return IPC_FRAME_WHOLE;
}

void ipc_frame_write(struct str *out, uint64_t id, struct view text)
{
    assert(text.len <= IPC_MESSAGE_MAX);
    uint32_t len_be = htobe32((uint32_t)text.len);
    uint64_t id_be = htobe64(id);
    str_append(out, &len_be, sizeof len_be);
    str_append(out, &id_be, sizeof id_be);
    str_append_view(out, text);
}
