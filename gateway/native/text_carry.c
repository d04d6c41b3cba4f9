#include "gateway/native/text_carry.h"

#include "common/base/utf8.h"

/* Bytes at the end of text that begin a character and do not end it. */
static size_t cut_bytes(struct view text)
{
    for (size_t len = 1; len <= TEXT_CARRY_MAX && len <= text.len; len++) {
        struct view tail = view_from(text, text.len - len);
        bool is_cut = false;
        if (utf8_prefix(tail, &is_cut) == 0 && is_cut) {
            return len;
        }
        if (((unsigned char)tail.ptr[0] & 0xc0U) != 0x80U) {
            break; /* no continuation: the last character begins here */
        }
    }
    return 0;
}

struct view text_carry_join(struct text_carry *carry, struct view piece, struct str *scratch)
{
    struct view text = piece;
    if (carry->len > 0) {
        str_clear(scratch);
        str_append(scratch, carry->bytes, carry->len);
        str_append_view(scratch, piece);
        text = str_view(scratch);
    }
    carry->len = cut_bytes(text);
    text.len -= carry->len;
    if (carry->len > 0) {
        memcpy(carry->bytes, text.ptr + text.len, carry->len);
    }
    return text;
}
