#include "common/base/id.h"

#include "common/base/secret.h"

#include <stdint.h>

static const char hex_digits[] = "0123456789abcdef";

static bool is_dash_position(size_t position)
{
    return position == 8 || position == 13 || position == 18 || position == 23;
}

static bool lower_hex(char c, char *out)
{
    if (c >= 'A' && c <= 'F') {
        c = (char)(c - 'A' + 'a');
    }
    *out = c;
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool id_new(char out[ID_SIZE], struct err *err)
{
    uint8_t bytes[16];
    if (!secret_random(bytes, sizeof bytes, err)) {
        return false;
    }
    bytes[6] = (uint8_t)((bytes[6] & 0x0fU) | 0x40U);
    bytes[8] = (uint8_t)((bytes[8] & 0x3fU) | 0x80U);
    size_t at = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (is_dash_position(at)) {
            out[at++] = '-';
        }
        out[at++] = hex_digits[bytes[i] >> 4U];
        out[at++] = hex_digits[bytes[i] & 0x0fU];
    }
    out[at] = '\0';
    return true;
}

bool id_parse(struct view text, char out[ID_SIZE])
{
    if (text.len != ID_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < ID_SIZE - 1; i++) {
        if (is_dash_position(i)) {
            if (text.ptr[i] != '-') {
                return false;
            }
            out[i] = '-';
        } else if (!lower_hex(text.ptr[i], &out[i])) {
            return false;
        }
    }
    out[ID_SIZE - 1] = '\0';
    return true;
}

void id_to_id32(const char id[ID_SIZE], char out[ID32_SIZE])
{
    size_t at = 0;
    for (size_t i = 0; i < ID_SIZE - 1; i++) {
        if (!is_dash_position(i)) {
            out[at++] = id[i];
        }
    }
    out[at] = '\0';
}

bool id_from_id32(struct view text, char out[ID_SIZE])
{
    if (text.len != ID32_SIZE - 1) {
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < ID32_SIZE - 1; i++) {
        if (is_dash_position(at)) {
            out[at++] = '-';
        }
        if (!lower_hex(text.ptr[i], &out[at++])) {
            return false;
        }
    }
    out[at] = '\0';
    return true;
}
