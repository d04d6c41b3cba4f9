/* common/ws/frames.h: wslay on evbuffers: frames out, payloads of judged frames in; for this
 * folder. */
#ifndef COMMON_WS_FRAMES_H
#define COMMON_WS_FRAMES_H

#include "common/base/err.h"
#include "common/ws/header.h"

#include <event2/buffer.h>
#include <wslay/wslay.h>

struct ws_frames {
    wslay_frame_context_ptr wslay; /* owned */
    enum ws_role role;
    struct evbuffer *from; /* borrowed during a call */
    struct evbuffer *to;   /* borrowed during a call */
    uint64_t frame_left; /* bytes of the frame under way, header and payload, wslay has not seen */
};

bool ws_frames_open(struct ws_frames *frames, enum ws_role role, struct err *err) MUST_CHECK;
/* Accepts frames that are zero. */
void ws_frames_close(struct ws_frames *frames);

/* Appends one frame with FIN, its payload made of parts. False when out of memory; to is then as
 * it was. */
bool ws_frames_send(struct ws_frames *frames, struct evbuffer *to, uint8_t opcode,
                    const struct view *parts, size_t part_count) MUST_CHECK;

/* Announces the frame that comes next, all of whose header has arrived. */
void ws_frames_begin(struct ws_frames *frames, const struct ws_header *header);
/* Takes the next piece of that frame's payload out of from, unmasked; it is valid until the next
 * call. False when nothing of it is there. An empty payload is one empty piece. */
bool ws_frames_recv(struct ws_frames *frames, struct evbuffer *from, struct view *piece);

#endif
