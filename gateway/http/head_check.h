/* gateway/http/head_check.h: the strict first reader of a request's head. It refuses whatever two
 * readers could understand differently; what passes goes to llhttp. Works line by line as the bytes
 * arrive, so that a bad line is refused without waiting for the rest. */
#ifndef GATEWAY_HTTP_HEAD_CHECK_H
#define GATEWAY_HTTP_HEAD_CHECK_H

#include "common/base/cleanup.h"
#include "gateway/http/refusal.h"
#include "gateway/http/server.h"

enum {
    HEAD_METHOD_MAX = 16,
    HEAD_EMPTY_LINES_MAX = 2, /* before the request line */
    /* A head is complete or refused within so many bytes: empty lines, request line, headers. */
    HEAD_WINDOW = 4 + HEAD_METHOD_MAX + 1 + HTTP_TARGET_MAX + 16 + HTTP_HEAD_MAX + 16,
};

enum head_verdict { HEAD_INCOMPLETE, HEAD_COMPLETE, HEAD_REFUSED };

/* Starts zeroed. */
struct head_check {
    enum refusal refusal; /* why, when refused */

    /* What a complete head says. Its bytes are those at head_offset up to next_line. */
    size_t head_offset;
    size_t next_line;
    size_t header_bytes; /* behind the request line, as HTTP_HEAD_MAX counts them */
    size_t header_count;
    enum http_method method;
    bool is_1_0;
    bool is_chunked;
    bool has_length;
    uint64_t content_length;

    size_t scanned; /* no end of line in the bytes before */
    unsigned empty_lines;
    bool has_request_line;
    bool has_coding;
    unsigned seen;               /* a bit for each header that may come once */
    enum refusal method_refusal; /* told when the rest of the head is fine */
    enum refusal coding_refusal;
};

/* bytes are all that arrived since the connection waits for this head, from the first on, up to
 * HEAD_WINDOW. Not called again after a verdict. */
enum head_verdict head_check_feed(struct head_check *check, const char *bytes,
                                  size_t len) MUST_CHECK;

#endif
