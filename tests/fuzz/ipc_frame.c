/* Whatever arrives on a connection between our processes is split into frames that cover it without
 * a hole, and each of them, written again, gives the same bytes. */
#include "common/ipc/envelope.h"
#include "common/ipc/frame.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_frame(struct view bytes, const struct ipc_frame *frame, size_t frame_size)
{
    struct str written = STR_INIT(IPC_FRAME_HEAD_SIZE + IPC_MESSAGE_MAX);
    ipc_frame_write(&written, frame->id, frame->text);
    assert(view_equal(str_view(&written), (struct view){bytes.ptr, frame_size}));
    str_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view bytes = {(const char *)data, size};
    struct ipc_frame frame;
    size_t frame_size = 0;
    enum ipc_frame_state state;
    while ((state = ipc_frame_read(bytes, &frame, &frame_size)) == IPC_FRAME_WHOLE) {
        assert(frame_size <= bytes.len);
        try_frame(bytes, &frame, frame_size);
        bytes = view_from(bytes, frame_size);
    }
    if (state == IPC_FRAME_PARTIAL) {
        assert(frame_size == 0 ? bytes.len < IPC_FRAME_HEAD_SIZE : bytes.len < frame_size);
    }
    return 0;
}
