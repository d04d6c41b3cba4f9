/* common/ws/header.h: the header of one WebSocket frame, judged as soon as its bytes are there. For
 * this folder. */
#ifndef COMMON_WS_HEADER_H
#define COMMON_WS_HEADER_H

#include "common/base/view.h"
#include "common/ws/mask.h"
#include "common/ws/socket.h"

enum { WS_HEADER_MAX = 14 };

/* Beside enum ws_opcode. */
enum { WS_CONTINUATION = 0, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

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
    struct ws_mask mask;
};

enum ws_header_state { WS_HEADER_PARTIAL, WS_HEADER_WHOLE, WS_HEADER_BAD };

/* Reads the header that bytes begin with; role is the reader's. out is filled when it is whole,
 * breach when it is bad. */
enum ws_header_state ws_header_read(struct view bytes, enum ws_role role, struct ws_header *out,
                                    struct ws_breach *breach);

/* Writes the header of a frame; role is the writer's, and a client's has the mask's key. Returns
 * how many bytes that takes, at most WS_HEADER_MAX. */
size_t ws_header_write(const struct ws_header *header, enum ws_role role, char *out);

static inline bool ws_is_control(uint8_t opcode)
{
    return (opcode & 8U) != 0;
}

#endif
