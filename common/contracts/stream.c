#include "common/contracts/stream.h"

#include <endian.h>

enum { GRANTS_PER_WINDOW = 4 };

static bool is_code(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_') {
            return false;
        }
    }
    return text.len < STREAM_CODE_SIZE;
}

static bool payload_is_valid(struct stream_frame *frame)
{
    switch (frame->kind) {
    case STREAM_DATA:
    case STREAM_STDOUT:
    case STREAM_STDERR:
        return true;
    case STREAM_WINDOW:
        if (frame->payload.len != sizeof frame->window) {
            return false;
        }
        memcpy(&frame->window, frame->payload.ptr, sizeof frame->window);
        frame->window = be32toh(frame->window);
        return frame->window > 0;
    case STREAM_FIN:
        return frame->payload.len == 0;
    case STREAM_RESET:
        return is_code(frame->payload);
    }
    return false;
}

bool stream_frame_read(struct view message, struct stream_frame *out, struct err *err)
{
    static const char zeros[3];
    if (message.len < STREAM_HEADER_SIZE || memcmp(message.ptr + 5, zeros, sizeof zeros) != 0) {
        return err_set(err, ERR_INVALID, "a binary message is no stream frame");
    }
    uint32_t id;
    memcpy(&id, message.ptr, sizeof id);
    *out = (struct stream_frame){
        .id = be32toh(id),
        .kind = (enum stream_kind)(unsigned char)message.ptr[4],
        .payload = view_from(message, STREAM_HEADER_SIZE),
    };
    if (out->id == 0 || out->id > STREAM_ID_MAX || !payload_is_valid(out)) {
        return err_set(err, ERR_INVALID, "a stream frame has a bad id, kind or payload");
    }
    return true;
}

void stream_header_write(uint32_t id, enum stream_kind kind, char out[STREAM_HEADER_SIZE])
{
    uint32_t id_be = htobe32(id);
    memset(out, 0, STREAM_HEADER_SIZE);
    memcpy(out, &id_be, sizeof id_be);
    out[4] = (char)kind;
}

void stream_window_write(uint32_t bytes, char out[STREAM_WINDOW_SIZE])
{
    uint32_t bytes_be = htobe32(bytes);
    memcpy(out, &bytes_be, sizeof bytes_be);
}

bool stream_credit_add(struct stream_credit *credit, uint32_t bytes)
{
    if (bytes > STREAM_CREDIT_MAX - credit->left) {
        return false;
    }
    credit->left += bytes;
    return true;
}

bool stream_credit_use(struct stream_credit *credit, size_t bytes)
{
    if (bytes > credit->left) {
        return false;
    }
    credit->left -= (uint32_t)bytes;
    return true;
}

bool stream_intake_widen(struct stream_intake *intake, uint32_t bytes)
{
    if (bytes > STREAM_CREDIT_MAX - intake->window || !stream_credit_add(&intake->credit, bytes)) {
        return false;
    }
    intake->window += bytes;
    return true;
}

uint32_t stream_intake_take(struct stream_intake *intake, size_t bytes)
{
    intake->taken += (uint32_t)bytes;
    if (intake->taken < intake->window / GRANTS_PER_WINDOW ||
        !stream_credit_add(&intake->credit, intake->taken)) {
        return 0;
    }
    uint32_t grant = intake->taken;
    intake->taken = 0;
    return grant;
}
