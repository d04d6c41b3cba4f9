#include "common/base/trace.h"

#include "common/base/encode.h"
#include "common/base/secret.h"

#include <stdio.h>

enum {
    VERSION_AT = 0,
    TRACE_AT = 3,
    SPAN_AT = 36,
    FLAGS_AT = 53,
    BYTE_DIGITS = 2,
    TRACE_DIGITS = 32,
    SPAN_DIGITS = 16,
    PARENT_LEN = TRACE_PARENT_SIZE - 1,
};

const struct trace trace_none;

struct view trace_id(const struct trace *trace)
{
    if (trace->parent[0] == '\0') {
        return VIEW("");
    }
    return (struct view){trace->parent + TRACE_AT, TRACE_DIGITS};
}

bool trace_is_request_id(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return text.len > 0 && text.len < TRACE_REQUEST_ID_SIZE;
}

/* In lower case, as the standard has it. */
static bool is_hex(const char *digits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char c = digits[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
            return false;
        }
    }
    return true;
}

static bool is_zero(const char *digits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (digits[i] != '0') {
            return false;
        }
    }
    return true;
}

static bool has_fields(const char *text)
{
    return text[TRACE_AT - 1] == '-' && text[SPAN_AT - 1] == '-' && text[FLAGS_AT - 1] == '-' &&
           is_hex(text + VERSION_AT, BYTE_DIGITS) && is_hex(text + TRACE_AT, TRACE_DIGITS) &&
           is_hex(text + SPAN_AT, SPAN_DIGITS) && is_hex(text + FLAGS_AT, BYTE_DIGITS) &&
           !is_zero(text + TRACE_AT, TRACE_DIGITS) && !is_zero(text + SPAN_AT, SPAN_DIGITS);
}

/* Of later versions only what version 00 has is known, and of its flags only "sampled". */
static void write_as_00(struct view text, char out[TRACE_PARENT_SIZE])
{
    bool is_sampled = strchr("13579bdf", text.ptr[FLAGS_AT + 1]) != NULL;
    memcpy(out, text.ptr, PARENT_LEN);
    memcpy(out, "00", BYTE_DIGITS);
    memcpy(out + FLAGS_AT, is_sampled ? "01" : "00", BYTE_DIGITS + 1);
}

bool trace_read_parent(struct view text, char out[TRACE_PARENT_SIZE])
{
    if (text.len < PARENT_LEN || !has_fields(text.ptr)) {
        return false;
    }
    bool is_00 = view_starts_with(text, VIEW("00"));
    bool is_later = !is_00 && !view_starts_with(text, VIEW("ff")) &&
                    (text.len == PARENT_LEN || text.ptr[PARENT_LEN] == '-');
    if (!is_later && !(is_00 && text.len == PARENT_LEN)) {
        return false;
    }
    write_as_00(text, out);
    return true;
}

bool trace_make_parent(char out[TRACE_PARENT_SIZE], struct err *err)
{
    uint8_t ids[(TRACE_DIGITS + SPAN_DIGITS) / 2];
    char hex[ENCODE_HEX_SIZE(sizeof ids)];
    if (!secret_random(ids, sizeof ids, err)) {
        return false;
    }
    encode_hex(ids, sizeof ids, hex);
    (void)snprintf(out, TRACE_PARENT_SIZE, "00-%.*s-%s-00", TRACE_DIGITS, hex, hex + TRACE_DIGITS);
    return true;
}
