#include "common/base/utf8.h"

#include <stdint.h>

/* Well-formed sequences by lead byte: how many follow, and the range of the first that does. */
struct shape {
    uint8_t lead_low, lead_high;
    uint8_t following;
    uint8_t low, high;
};

static const struct shape shapes[] = {
    {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf}, {0xe1, 0xec, 2, 0x80, 0xbf},
    {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf}, {0xf0, 0xf0, 3, 0x90, 0xbf},
    {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

static const struct shape *find_shape(uint8_t lead)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (lead >= shapes[i].lead_low && lead <= shapes[i].lead_high) {
            return &shapes[i];
        }
    }
    return NULL;
}

size_t utf8_length(struct view text, size_t *skip)
{
    size_t ignored;
    skip = skip == NULL ? &ignored : skip;
    *skip = text.len > 0 ? 1 : 0;
    if (text.len == 0) {
        return 0;
    }
    const uint8_t *bytes = (const uint8_t *)text.ptr;
    if (bytes[0] < 0x80) {
        return 1;
    }
    const struct shape *shape = find_shape(bytes[0]);
    if (shape == NULL) {
        return 0;
    }
    for (size_t i = 1; i <= shape->following; i++) {
        uint8_t low = i == 1 ? shape->low : 0x80;
        uint8_t high = i == 1 ? shape->high : 0xbf;
        if (i >= text.len || bytes[i] < low || bytes[i] > high) {
            *skip = i;
            return 0;
        }
    }
    return (size_t)shape->following + 1;
}

/* Bytes of whole characters up to the first that is not. */
static size_t whole_characters(struct view text)
{
    struct view rest = text;
    while (rest.len > 0) {
        /* Eight ASCII bytes at a time: most text is that. */
        uint64_t word;
        if (rest.len >= sizeof word) {
            memcpy(&word, rest.ptr, sizeof word);
            if ((word & 0x8080808080808080U) == 0) {
                rest = view_from(rest, sizeof word);
                continue;
            }
        }
        size_t length = utf8_length(rest, NULL);
        if (length == 0) {
            break;
        }
        rest = view_from(rest, length);
    }
    return text.len - rest.len;
}

bool utf8_is_valid(struct view text)
{
    return whole_characters(text) == text.len;
}

size_t utf8_prefix(struct view text, bool *is_cut)
{
    size_t whole = whole_characters(text);
    if (is_cut != NULL) {
        size_t skip = 0;
        struct view rest = whole == text.len ? (struct view){0} : view_from(text, whole);
        *is_cut = rest.len > 0 && utf8_length(rest, &skip) == 0 && skip == rest.len &&
                  find_shape((uint8_t)rest.ptr[0]) != NULL;
    }
    return whole;
}
