/* common/ws/frames.h: frames out, into an evbuffer; for this folder. */
#ifndef COMMON_WS_FRAMES_H
#define COMMON_WS_FRAMES_H

#include "common/base/view.h"
#include "common/ws/header.h"

#include <event2/buffer.h>

/* Appends one frame with FIN, its payload made of parts; that of a client is masked. False when out
 * of memory, or of random bytes; to is then as it was. */
bool ws_frame_write(struct evbuffer *to, enum ws_role role, uint8_t opcode,
                    const struct view *parts, size_t part_count) MUST_CHECK;

#endif
