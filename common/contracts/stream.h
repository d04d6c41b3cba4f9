/* common/contracts/stream.h: the binary frames of the agent protocol, version 1: bytes of streams,
 * many of them on one WebSocket. The same between client and gateway and between gateway and agent.
 *
 *   u32 stream id (big endian) · u8 kind · u8[3] zero · payload
 *
 * Whoever asks for a stream chooses its id, unique among those that are open on its socket. Frames
 * of one stream follow each other without a hole; what was dropped is told by a text message "gap".
 *
 * Credit counts payload bytes of data, stdout and stderr together, in each direction of each stream
 * by itself: STREAM_WINDOW_INITIAL to begin with, each window frame adds. A gateway that is short
 * of memory gives a stream an id from STREAM_ID_SMALL on, if the agent's hello says smallWindows:
 * then the agent begins with STREAM_WINDOW_SMALL. fin ends the sender's own direction; reset ends
 * the stream both ways. */
#ifndef COMMON_CONTRACTS_STREAM_H
#define COMMON_CONTRACTS_STREAM_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum stream_kind {
    STREAM_DATA = 0, /* of files, connections and terminals; toward a process: its stdin */
    STREAM_STDOUT = 1,
    STREAM_STDERR = 2,
    STREAM_WINDOW = 3, /* payload: u32 (big endian), over 0: so many bytes more may be sent */
    STREAM_FIN = 4,    /* payload: empty */
    STREAM_RESET = 5,  /* payload: a code as errors have one ("file_changed"), or empty */
};

enum {
    STREAM_HEADER_SIZE = 8,
    STREAM_WINDOW_INITIAL = 256 * 1024,
    STREAM_WINDOW_SMALL = 16 * 1024,
    STREAM_CREDIT_MAX = 64 * 1024 * 1024, /* a window that leads beyond it is a breach */
    STREAM_PAYLOAD_MAX = 64 * 1024,       /* of the frames we send */
    STREAM_CODE_SIZE = 64,                /* of a reset, with a NUL */
    STREAM_WINDOW_SIZE = 4,               /* payload of a window frame */
    STREAM_ID_SMALL = 1 << 30,
    STREAM_ID_MAX = INT32_MAX, /* ids are 1..: as JSON they fit anywhere */
};

struct stream_frame {
    uint32_t id;
    enum stream_kind kind;
    struct view payload; /* points into the message */
    uint32_t window;     /* of a window frame */
};

/* Whether it counts against credit. */
static inline bool stream_kind_is_bytes(enum stream_kind kind)
{
    return kind <= STREAM_STDERR;
}

/* Reads one binary message. ERR_INVALID when it is no well-formed frame: the socket is closed with
 * 1002 then. */
bool stream_frame_read(struct view message, struct stream_frame *out, struct err *err) MUST_CHECK;

void stream_header_write(uint32_t id, enum stream_kind kind, char out[STREAM_HEADER_SIZE]);
void stream_window_write(uint32_t bytes, char out[STREAM_WINDOW_SIZE]);

/* One direction of a stream, seen by the sender (what it may still send) or by the receiver (what
 * the sender may still send). */
struct stream_credit {
    uint32_t left;
};
static inline struct stream_credit stream_credit_begin(void)
{
    return (struct stream_credit){STREAM_WINDOW_INITIAL};
}
/* The agent's toward its gateway. */
static inline struct stream_credit stream_credit_of_agent(uint32_t stream_id)
{
    return (struct stream_credit){stream_id >= STREAM_ID_SMALL ? STREAM_WINDOW_SMALL
                                                               : STREAM_WINDOW_INITIAL};
}
/* False: a breach, and nothing is changed. */
bool stream_credit_add(struct stream_credit *credit, uint32_t bytes) MUST_CHECK;
bool stream_credit_use(struct stream_credit *credit, size_t bytes) MUST_CHECK;

/* How a receiver gives credit back: not for each frame but when a good part of it is used up. */
struct stream_intake {
    struct stream_credit credit; /* what the sender may still send */
    uint32_t taken;              /* was received and used up, and not yet granted again */
    uint32_t window;             /* the most that credit is */
};
static inline struct stream_intake stream_intake_begin(void)
{
    return (struct stream_intake){stream_credit_begin(), 0, STREAM_WINDOW_INITIAL};
}
/* Lets the sender have so many bytes more under way at a time; the caller grants them by a window
 * frame. False when the window would be over STREAM_CREDIT_MAX, and nothing is changed. */
bool stream_intake_widen(struct stream_intake *intake, uint32_t bytes) MUST_CHECK;
/* bytes were used up. Returns what to grant now by a window frame; 0: not yet. */
uint32_t stream_intake_take(struct stream_intake *intake, size_t bytes) MUST_CHECK;

#endif
