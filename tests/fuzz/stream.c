/* Whatever a binary message holds is refused or is a frame, and its header, written again, gives
 * the same bytes. */
#include "common/contracts/stream.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream_frame frame;
    struct err err = {0};
    if (!stream_frame_read((struct view){(const char *)data, size}, &frame, &err)) {
        assert(err.code == ERR_INVALID);
        return 0;
    }
    char header[STREAM_HEADER_SIZE];
    char window[STREAM_WINDOW_SIZE];
    stream_header_write(frame.id, frame.kind, header);
    assert(memcmp(header, data, sizeof header) == 0);
    assert(frame.payload.len == size - STREAM_HEADER_SIZE);
    if (frame.kind == STREAM_WINDOW) {
        stream_window_write(frame.window, window);
        assert(memcmp(window, frame.payload.ptr, sizeof window) == 0);
    }
    return 0;
}
