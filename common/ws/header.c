#include "common/ws/header.h"

#include <string.h>

enum {
    FIN_BIT = 0x80,
    RSV_BITS = 0x70,
    OPCODE_BITS = 0x0f,
    MASK_BIT = 0x80,
    LENGTH_BITS = 0x7f,
    LENGTH_16 = 126, /* the length is in the next 2 bytes */
    LENGTH_64 = 127, /* in the next 8 */
    CONTROL_MAX = 125,
};

static const char *judge_first_bytes(uint8_t first, uint8_t second, enum ws_role role)
{
    uint8_t opcode = first & OPCODE_BITS;
    if ((first & RSV_BITS) != 0) {
        return "reserved bits are set";
    }
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG) {
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
    size_t mask_len = (in[1] & MASK_BIT) != 0 ? WS_MASK_SIZE : 0;
    size_t header_len = 2 + extension + mask_len;
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
    memcpy(out->mask.key, in + 2 + extension, mask_len);
    return WS_HEADER_WHOLE;
}

static size_t write_big_endian(uint64_t value, size_t count, char *out)
{
    for (size_t i = count; i > 0; i--) {
        out[i - 1] = (char)(uint8_t)value;
        value >>= 8U;
    }
    return count;
}

size_t ws_header_write(const struct ws_header *header, enum ws_role role, char *out)
{
    bool is_masked = role == WS_CLIENT;
    size_t extension = header->payload_len > UINT16_MAX   ? 8
                       : header->payload_len >= LENGTH_16 ? 2
                                                          : 0;
    uint8_t length = extension == 8   ? LENGTH_64
                     : extension == 2 ? LENGTH_16
                                      : (uint8_t)header->payload_len;
    size_t at = 2;
    out[0] = (char)((header->fin ? FIN_BIT : 0) | header->opcode);
    out[1] = (char)((is_masked ? MASK_BIT : 0) | length);
    at += write_big_endian(header->payload_len, extension, out + at);
    if (is_masked) {
        memcpy(out + at, header->mask.key, WS_MASK_SIZE);
        at += WS_MASK_SIZE;
    }
    return at;
}
