#include "common/ws/frames.h"

#include "common/base/secret.h"

enum { MASK_POOL_SIZE = 256 };

/* Masks must be unpredictable to whoever chose the payload; many are drawn at once. */
static _Thread_local struct {
    uint8_t bytes[MASK_POOL_SIZE];
    size_t left;
} masks;

static int on_mask(uint8_t *buffer, size_t len, void *arg)
{
    (void)arg;
    struct err ignored;
    if (masks.left < len) {
        if (!secret_random(masks.bytes, sizeof masks.bytes, &ignored)) {
            return -1;
        }
        masks.left = sizeof masks.bytes;
    }
    masks.left -= len;
    memcpy(buffer, masks.bytes + masks.left, len);
    return 0;
}

static ssize_t on_send(const uint8_t *data, size_t len, int flags, void *arg)
{
    (void)flags;
    struct ws_frames *frames = arg;
    return evbuffer_add(frames->to, data, len) == 0 ? (ssize_t)len : -1;
}

/* Never gives more than the frame under way, so that the next header is still in the evbuffer. */
static ssize_t on_recv(uint8_t *buffer, size_t len, int flags, void *arg)
{
    (void)flags;
    struct ws_frames *frames = arg;
    len = len < frames->frame_left ? len : (size_t)frames->frame_left;
    int got = len == 0 ? 0 : evbuffer_remove(frames->from, buffer, len);
    if (got <= 0) {
        return -1;
    }
    frames->frame_left -= (uint64_t)got;
    return got;
}

bool ws_frames_open(struct ws_frames *frames, enum ws_role role, struct err *err)
{
    static const struct wslay_frame_callbacks callbacks = {
        .send_callback = on_send, .recv_callback = on_recv, .genmask_callback = on_mask};
    *frames = (struct ws_frames){.role = role};
    return wslay_frame_context_init(&frames->wslay, &callbacks, frames) == 0 ||
           err_set(err, ERR_INTERNAL, "websocket: out of memory");
}

void ws_frames_close(struct ws_frames *frames)
{
    if (frames->wslay != NULL) {
        wslay_frame_context_free(frames->wslay);
        frames->wslay = NULL;
    }
}

static bool send_part(struct ws_frames *frames, struct wslay_frame_iocb *frame)
{
    do {
        ssize_t sent = wslay_frame_send(frames->wslay, frame);
        if (sent < 0) {
            return false;
        }
        frame->data += sent;
        frame->data_length -= (size_t)sent;
    } while (frame->data_length > 0);
    return true;
}

bool ws_frames_send(struct ws_frames *frames, struct evbuffer *to, uint8_t opcode,
                    const struct view *parts, size_t part_count)
{
    static const uint8_t nothing[1];
    struct wslay_frame_iocb frame = {
        .fin = 1, .opcode = opcode, .mask = frames->role == WS_CLIENT ? 1 : 0, .data = nothing};
    for (size_t i = 0; i < part_count; i++) {
        frame.payload_length += parts[i].len;
    }
    /* With the room made beforehand nothing below can fail half-way through a frame, but for the
     * mask, which is drawn before the first byte. */
    if (evbuffer_expand(to, (size_t)frame.payload_length + WS_HEADER_MAX) != 0) {
        return false;
    }
    frames->to = to;
    bool sent = frame.payload_length > 0 || send_part(frames, &frame);
    for (size_t i = 0; i < part_count && sent; i++) {
        frame.data = (const uint8_t *)parts[i].ptr;
        frame.data_length = parts[i].len;
        sent = parts[i].len == 0 || send_part(frames, &frame);
    }
    frames->to = NULL;
    return sent;
}

void ws_frames_begin(struct ws_frames *frames, const struct ws_header *header)
{
    frames->frame_left = header->header_len + header->payload_len;
}

bool ws_frames_recv(struct ws_frames *frames, struct evbuffer *from, struct view *piece)
{
    struct wslay_frame_iocb frame = {0};
    frames->from = from;
    ssize_t got = wslay_frame_recv(frames->wslay, &frame);
    frames->from = NULL;
    if (got < 0) {
        return false;
    }
    *piece = (struct view){(const char *)frame.data, frame.data_length};
    return true;
}
