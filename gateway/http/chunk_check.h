/* gateway/http/chunk_check.h: the strict first reader of a chunked body (RFC 9112, 7.1). It finds
 * where the body ends and refuses what llhttp would let pass; llhttp takes the bytes apart. */
#ifndef GATEWAY_HTTP_CHUNK_CHECK_H
#define GATEWAY_HTTP_CHUNK_CHECK_H

#include "common/base/cleanup.h"
#include "gateway/http/refusal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHUNK_SIZE_DIGITS_MAX = 16,
    CHUNK_EXTENSION_LINE_MAX = 256,
    CHUNK_EXTENSIONS_MAX = 4 * 1024, /* in one message */
};

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the start of a line */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_END,
};

struct chunk_check {
    enum chunk_state state;
    uint64_t size; /* of the chunk; what is left of it while in its data */
    unsigned digits;
    uint64_t room; /* of the body limit */
    size_t line_len;
    size_t extensions_len;
    size_t header_bytes;
    size_t header_count;
};

/* room is the body limit; the trailers count on top of the head's header_bytes and header_count. */
void chunk_check_begin(struct chunk_check *check, uint64_t room, size_t header_bytes,
                       size_t header_count);

/* *used is how many bytes belong to the body: less than len only when the state is CHUNK_END. */
enum refusal chunk_check_feed(struct chunk_check *check, const char *bytes, size_t len,
                              size_t *used) MUST_CHECK;

#endif
