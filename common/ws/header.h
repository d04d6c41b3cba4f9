/* common/ws/header.h: the header of one WebSocket frame, judged as soon as its bytes are there.
 *
 * wslay tells of a frame only with the first byte of its payload, and takes some headers that we
 * refuse; so every header passes here before wslay sees it. For this folder. */
#ifndef COMMON_WS_HEADER_H
#define COMMON_WS_HEADER_H

#include "common/base/view.h"
#include "common/ws/socket.h"

enum { WS_HEADER_MAX = 14 };

/* Why a connection is closed from our side. */
struct ws_breach {
    int code;
    const char *reason; /* a literal of at most 123 bytes */
};

struct ws_header {
    bool fin;
    uint8_t opcode; /* one of RFC 6455's six */
    uint64_t payload_len;
    size_t header_len;
};

enum ws_header_state { WS_HEADER_PARTIAL, WS_HEADER_WHOLE, WS_HEADER_BAD };

/* Reads the header that bytes begin with; role is the reader's. out is filled when it is whole,
 * breach when it is bad. */
enum ws_header_state ws_header_read(struct view bytes, enum ws_role role, struct ws_header *out,
                                    struct ws_breach *breach);

static inline bool ws_is_control(uint8_t opcode)
{
    return (opcode & 8U) != 0;
}

#endif
