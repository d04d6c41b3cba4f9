/* gateway/http/parser.h: llhttp, for one request whose bytes have passed head_check and
 * chunk_check. Two readers thus saw every byte, and where they disagree the request is refused. */
#ifndef GATEWAY_HTTP_PARSER_H
#define GATEWAY_HTTP_PARSER_H

#include "common/base/str.h"
#include "gateway/http/header.h"

#include <stdint.h>

struct parser;

/* Views lie in the parser. */
struct parsed_head {
    struct view target;
    const struct http_header *headers;
    size_t header_count;
    uint64_t content_length;
    bool is_chunked;
    bool keep_alive;
    bool upgrade; /* Upgrade, and Connection: upgrade */
};

/* Copies head, which is whole and has header_count header lines. HTTP/1.2 and up are read as 1.1.
 * NULL when out of memory. */
struct parser *parser_new(struct view head, size_t header_count) MUST_CHECK;
void parser_free(struct parser *parser);

/* Once. False when llhttp refuses the head. */
bool parser_read_head(struct parser *parser, struct parsed_head *out) MUST_CHECK;

/* The next bytes of the body, framing and all; the data is appended to body unless that is NULL.
 * False when llhttp refuses them. */
bool parser_read_body(struct parser *parser, struct view bytes, struct str *body) MUST_CHECK;

/* The same, up to the next data at most: *piece, which lies in bytes, and is empty when there is
 * none; *used is how many of the bytes have been read. */
bool parser_read_piece(struct parser *parser, struct view bytes, struct view *piece,
                       size_t *used) MUST_CHECK;

/* Whether llhttp has seen the end of the message. */
bool parser_is_complete(const struct parser *parser);

#endif
