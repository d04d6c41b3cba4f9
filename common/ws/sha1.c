#include "common/ws/sha1.h"

#include <assert.h>

enum {
    BLOCK_SIZE = 64,
    LENGTH_SIZE = 8, /* the message's length in bits, at the end of the last block */
    ROUNDS = 80,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32U - bits);
}

static uint32_t load(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24U | (uint32_t)bytes[1] << 16U | (uint32_t)bytes[2] << 8U |
           bytes[3];
}

static void store(uint32_t word, uint8_t *bytes)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(word >> (24U - 8U * i));
    }
}

static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    static const uint32_t constants[] = {0x5a827999U, 0x6ed9eba1U, 0x8f1bbcdcU, 0xca62c1d6U};
    switch (round / 20) {
    case 0:
        return ((b & c) | (~b & d)) + constants[0];
    case 2:
        return ((b & c) | (b & d) | (c & d)) + constants[2];
    default:
        return (b ^ c ^ d) + constants[round / 20];
    }
}

static void add_block(uint32_t state[5], const uint8_t block[BLOCK_SIZE])
{
    uint32_t words[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        words[i] = i < 16 ? load(block + (size_t)i * 4)
                          : rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    }
    uint32_t a = state[0];
    uint32_t b = state[1];
    uint32_t c = state[2];
    uint32_t d = state[3];
    uint32_t e = state[4];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t next = rotate(a, 5) + mix(i, b, c, d) + e + words[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1_of(struct view text, uint8_t out[SHA1_SIZE])
{
    uint8_t padded[4 * BLOCK_SIZE] = {0};
    uint32_t state[5] = {0x67452301U, 0xefcdab89U, 0x98badcfeU, 0x10325476U, 0xc3d2e1f0U};
    assert(text.len <= SHA1_INPUT_MAX);
    size_t size = (text.len + 1 + LENGTH_SIZE + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    if (text.len > 0) {
        memcpy(padded, text.ptr, text.len);
    }
    padded[text.len] = 0x80;
    store((uint32_t)(text.len * 8), padded + size - 4);
    for (size_t at = 0; at < size; at += BLOCK_SIZE) {
        add_block(state, padded + at);
    }
    for (size_t i = 0; i < 5; i++) {
        store(state[i], out + i * 4);
    }
}
