#include "common/ws/header.h"

#include <wslay/wslay.h>

enum {
    FIN_BIT = 0x80,
    RSV_BITS = 0x70,
    OPCODE_BITS = 0x0f,
    MASK_BIT = 0x80,
    LENGTH_BITS = 0x7f,
    LENGTH_16 = 126, /* the length is in the next 2 bytes */
    LENGTH_64 = 127, /* in the next 8 */
    CONTROL_MAX = 125,
    MASK_SIZE = 4,
};

static const char *judge_first_bytes(uint8_t first, uint8_t second, enum ws_role role)
{
    uint8_t opcode = first & OPCODE_BITS;
    if ((first & RSV_BITS) != 0) {
        return "reserved bits are set";
    }
    if ((opcode > WSLAY_BINARY_FRAME && opcode < WSLAY_CONNECTION_CLOSE) || opcode > WSLAY_PONG) {
        return "unknown opcode";
    }
    if (((second & MASK_BIT) != 0) != (role == WS_SERVER)) {
        return role == WS_SERVER ? "frame is not masked" : "frame is masked";
    }
    if (ws_is_control(opcode) && (first & FIN_BIT) == 0) {
        return "fragmented control frame";
    }
    if (ws_is_control(opcode) && (second & LENGTH_BITS) > CONTROL_MAX) {
        return "control frame is too long";
    }
    return NULL;
}

static uint64_t big_endian(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8U | bytes[i];
    }
    return value;
}

enum ws_header_state ws_header_read(struct view bytes, enum ws_role role, struct ws_header *out,
                                    struct ws_breach *breach)
{
    const uint8_t *in = (const uint8_t *)bytes.ptr;
    if (bytes.len < 2) {
        return WS_HEADER_PARTIAL;
    }
    *breach = (struct ws_breach){WS_CLOSE_PROTOCOL, judge_first_bytes(in[0], in[1], role)};
    if (breach->reason != NULL) {
        return WS_HEADER_BAD;
    }
    uint64_t length = in[1] & LENGTH_BITS;
    size_t extension = length == LENGTH_64 ? 8 : length == LENGTH_16 ? 2 : 0;
    size_t header_len = 2 + extension + ((in[1] & MASK_BIT) != 0 ? MASK_SIZE : 0);
    if (bytes.len < header_len) {
        return WS_HEADER_PARTIAL;
    }
    if (extension > 0) {
        length = big_endian(in + 2, extension);
        if (length < LENGTH_16 || (extension == 8 && length <= UINT16_MAX) || length > INT64_MAX) {
            breach->reason = "bad length coding";
            return WS_HEADER_BAD;
        }
    }
    *out = (struct ws_header){.fin = (in[0] & FIN_BIT) != 0,
                              .opcode = in[0] & OPCODE_BITS,
                              .payload_len = length,
                              .header_len = header_len};
    return WS_HEADER_WHOLE;
}
