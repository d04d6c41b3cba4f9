#include "gateway/http/chunk_check.h"

#include "gateway/http/server.h"
#include "gateway/http/syntax.h"

void chunk_check_begin(struct chunk_check *check, uint64_t room, size_t header_bytes,
                       size_t header_count)
{
    *check = (struct chunk_check){
        .room = room, .header_bytes = header_bytes, .header_count = header_count};
}

static enum refusal expect(struct chunk_check *check, char c, char expected,
                           enum chunk_state state_after)
{
    if (c != expected) {
        return REFUSAL_CHUNK;
    }
    check->state = state_after;
    return REFUSAL_NONE;
}

static enum refusal on_size(struct chunk_check *check, char c)
{
    int digit = syntax_hex_digit(c);
    if (digit >= 0) {
        check->size = check->size * 16 + (uint64_t)digit;
        check->digits++;
        return check->digits <= CHUNK_SIZE_DIGITS_MAX ? REFUSAL_NONE : REFUSAL_CHUNK;
    }
    if (check->digits == 0) {
        return REFUSAL_CHUNK;
    }
    if (c == ';') {
        check->line_len = 0;
        check->state = CHUNK_EXTENSION;
        return REFUSAL_NONE;
    }
    return expect(check, c, '\r', CHUNK_SIZE_LF);
}

static enum refusal on_extension(struct chunk_check *check, char c)
{
    if (c == '\r') {
        check->state = CHUNK_SIZE_LF;
        return REFUSAL_NONE;
    }
    check->line_len++;
    check->extensions_len++;
    bool fits = check->line_len <= CHUNK_EXTENSION_LINE_MAX &&
                check->extensions_len <= CHUNK_EXTENSIONS_MAX;
    return fits && syntax_is_value_byte(c) ? REFUSAL_NONE : REFUSAL_CHUNK;
}

static enum refusal on_size_end(struct chunk_check *check, char c)
{
    if (c != '\n') {
        return REFUSAL_CHUNK;
    }
    check->digits = 0;
    if (check->size > check->room) {
        return REFUSAL_BODY_TOO_LARGE;
    }
    check->room -= check->size;
    check->state = check->size == 0 ? CHUNK_TRAILER : CHUNK_DATA;
    return REFUSAL_NONE;
}

static enum refusal on_trailer(struct chunk_check *check, char c)
{
    if (check->state == CHUNK_TRAILER) {
        if (c == '\r') {
            check->state = CHUNK_END_LF;
            return REFUSAL_NONE;
        }
        check->line_len = 0;
        check->header_count++;
    }
    check->line_len++;
    check->header_bytes++;
    if (check->line_len > HTTP_LINE_MAX || check->header_bytes > HTTP_HEAD_MAX ||
        check->header_count > HTTP_HEADERS_MAX) {
        return REFUSAL_HEADERS_TOO_LARGE;
    }
    if (check->state == CHUNK_TRAILER_VALUE) {
        if (c == '\r') {
            check->state = CHUNK_TRAILER_LF;
            return REFUSAL_NONE;
        }
        return syntax_is_value_byte(c) ? REFUSAL_NONE : REFUSAL_HEADER;
    }
    if (check->state == CHUNK_TRAILER_NAME && c == ':') {
        check->state = CHUNK_TRAILER_VALUE;
        return REFUSAL_NONE;
    }
    check->state = CHUNK_TRAILER_NAME;
    return syntax_is_token_byte(c) ? REFUSAL_NONE : REFUSAL_HEADER;
}

static enum refusal take_byte(struct chunk_check *check, char c)
{
    switch (check->state) {
    case CHUNK_SIZE:
        return on_size(check, c);
    case CHUNK_EXTENSION:
        return on_extension(check, c);
    case CHUNK_SIZE_LF:
        return on_size_end(check, c);
    case CHUNK_DATA_CR:
        return expect(check, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return expect(check, c, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return on_trailer(check, c);
    case CHUNK_TRAILER_LF:
        return expect(check, c, '\n', CHUNK_TRAILER);
    case CHUNK_END_LF:
        return expect(check, c, '\n', CHUNK_END);
    case CHUNK_DATA:
    case CHUNK_END:
        break;
    }
    return REFUSAL_CHUNK;
}

enum refusal chunk_check_feed(struct chunk_check *check, const char *bytes, size_t len,
                              size_t *used)
{
    size_t at = 0;
    enum refusal refusal = REFUSAL_NONE;
    while (at < len && check->state != CHUNK_END && refusal == REFUSAL_NONE) {
        if (check->state != CHUNK_DATA) {
            refusal = take_byte(check, bytes[at]);
            at++;
            continue;
        }
        uint64_t step = check->size < len - at ? check->size : len - at;
        check->size -= step;
        at += (size_t)step;
        if (check->size == 0) {
            check->state = CHUNK_DATA_CR;
        }
    }
    *used = at;
    return refusal;
}
