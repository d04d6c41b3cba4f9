#include "common/ws/frames.h"

#include "common/base/secret.h"

#include <string.h>

enum { MASK_POOL_SIZE = 256 };

/* Masks must be unpredictable to whoever chose the payload; many are drawn at once. */
static _Thread_local struct {
    uint8_t bytes[MASK_POOL_SIZE];
    size_t left;
} masks;

static bool draw_mask(struct ws_mask *out)
{
    struct err ignored;
    if (masks.left < sizeof out->key) {
        if (!secret_random(masks.bytes, sizeof masks.bytes, &ignored)) {
            return false;
        }
        masks.left = sizeof masks.bytes;
    }
    masks.left -= sizeof out->key;
    memcpy(out->key, masks.bytes + masks.left, sizeof out->key);
    return true;
}

bool ws_frame_write(struct evbuffer *to, enum ws_role role, uint8_t opcode,
                    const struct view *parts, size_t part_count)
{
    struct ws_header header = {.fin = true, .opcode = opcode};
    struct evbuffer_iovec space;
    for (size_t i = 0; i < part_count; i++) {
        header.payload_len += parts[i].len;
    }
    if ((role == WS_CLIENT && !draw_mask(&header.mask)) ||
        evbuffer_reserve_space(to, (ev_ssize_t)(header.payload_len + WS_HEADER_MAX), &space, 1) !=
            1) {
        return false;
    }
    char *out = space.iov_base;
    size_t at = ws_header_write(&header, role, out);
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].len > 0) {
            memcpy(out + at, parts[i].ptr, parts[i].len);
            ws_mask_apply(&header.mask, out + at, parts[i].len);
            at += parts[i].len;
        }
    }
    space.iov_len = at;
    return evbuffer_commit_space(to, &space, 1) == 0;
}
