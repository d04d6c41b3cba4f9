#include "common/base/encode.h"

static const char hex_digits[] = "0123456789abcdef";
static const char alphabets[2][65] = {
    [ENCODE_BASE64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [ENCODE_BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

void encode_hex(const void *bytes, size_t len, char *out)
{
    const uint8_t *in = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[in[i] >> 4U];
        out[2 * i + 1] = hex_digits[in[i] & 0x0fU];
    }
    out[2 * len] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool encode_hex_decode(struct view text, uint8_t *out, size_t len)
{
    if (text.len != len * 2) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        int high = hex_value(text.ptr[2 * i]);
        int low = hex_value(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

size_t encode_base64(enum encode_base64 alphabet, const void *bytes, size_t len, char *out)
{
    const char *letters = alphabets[alphabet];
    const uint8_t *in = bytes;
    size_t at = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)in[i] << 16U;
        group |= left > 1 ? (uint32_t)in[i + 1] << 8U : 0;
        group |= left > 2 ? (uint32_t)in[i + 2] : 0;
        out[at++] = letters[group >> 18U];
        out[at++] = letters[(group >> 12U) & 63U];
        if (left > 1) {
            out[at++] = letters[(group >> 6U) & 63U];
        }
        if (left > 2) {
            out[at++] = letters[group & 63U];
        }
    }
    while (alphabet == ENCODE_BASE64 && at % 4 != 0) {
        out[at++] = '=';
    }
    out[at] = '\0';
    return at;
}

static int base64_value(enum encode_base64 alphabet, char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == alphabets[alphabet][62]) {
        return 62;
    }
    return c == alphabets[alphabet][63] ? 63 : -1;
}

/* Takes the padding off; false when it is not what the alphabet demands. */
static bool strip_padding(enum encode_base64 alphabet, struct view *text)
{
    if (alphabet == ENCODE_BASE64_URL) {
        return text->len % 4 != 1;
    }
    if (text->len % 4 != 0) {
        return false;
    }
    for (int i = 0; i < 2 && text->len > 0 && text->ptr[text->len - 1] == '='; i++) {
        text->len--;
    }
    return true;
}

bool encode_base64_decode(enum encode_base64 alphabet, struct view text, uint8_t *out,
                          size_t *out_len)
{
    if (!strip_padding(alphabet, &text)) {
        return false;
    }
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t at = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(alphabet, text.ptr[i]);
        if (value < 0) {
            return false;
        }
        bits = (bits << 6U) | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out[at++] = (uint8_t)(bits >> bit_count);
            bits &= (1U << bit_count) - 1U;
        }
    }
    *out_len = at;
    return bits == 0;
}
