/* common/json/plain.h: runs of bytes that stand in a JSON string as they are; for this folder. */
#ifndef COMMON_JSON_PLAIN_H
#define COMMON_JSON_PLAIN_H

#include "common/base/view.h"

#include <stdint.h>

/* Bit 7 of every byte of the result that is not printable ASCII or is a quote or a backslash. Bits
 * above the first such byte may be wrong; only "none" and the first one count. */
static inline uint64_t json_special_bytes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101U;
    const uint64_t high_bits = 0x8080808080808080U;
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    return ((word - ones * ' ') | (quote - ones) | (backslash - ones) | word) & high_bits;
}

static inline bool json_is_plain(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= ' ' && byte < 0x80 && byte != '"' && byte != '\\';
}

/* How many bytes text begins with that are ASCII and need no escape. */
static inline size_t json_plain_run(struct view text)
{
    size_t at = 0;
    uint64_t word;
    while (text.len - at >= sizeof word) {
        memcpy(&word, text.ptr + at, sizeof word);
        if (json_special_bytes(word) != 0) {
            break;
        }
        at += sizeof word;
    }
    while (at < text.len && json_is_plain(text.ptr[at])) {
        at++;
    }
    return at;
}

#endif
