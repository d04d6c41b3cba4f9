/* gateway/http/body.h: one request's body, from the wire's framing to contiguous bytes. */
#ifndef GATEWAY_HTTP_BODY_H
#define GATEWAY_HTTP_BODY_H

#include "common/base/str.h"
#include "gateway/http/chunk_check.h"
#include "gateway/http/refusal.h"

struct head_check;
struct http_limits;
struct parser;

struct body {
    struct parser *parser; /* borrowed */
    bool is_chunked;
    bool complete;
    bool is_streamed;
    bool is_measured; /* streamed: its last byte has been taken */
    uint64_t left;    /* of Content-Length */
    uint64_t length;  /* Content-Length */
    struct chunk_check chunks;
    struct str data;

    /* For the limits on time. */
    int64_t begun_ms;
    int64_t last_ms;
    int64_t paused_ms; /* since when; 0: it is not */
    uint64_t received; /* bytes on the wire */
};

/* What the head says; a request without a body is complete. parser has read the head. */
void body_init(struct body *body, const struct head_check *head, struct parser *parser);

/* Begins collecting; REFUSAL_BODY_TOO_LARGE when the head announces more than max bytes. */
enum refusal body_begin(struct body *body, size_t max, int64_t now_ms) MUST_CHECK;

/* Begins streaming. Its bytes are first measured, as they arrive, and then taken apart. */
enum refusal body_begin_stream(struct body *body, uint64_t max, int64_t now_ms) MUST_CHECK;
/* *used is how many of the bytes belong to the body. */
enum refusal body_measure(struct body *body, struct view bytes, int64_t now_ms,
                          size_t *used) MUST_CHECK;
/* Of measured bytes, in their order: the next data (perhaps none) and how many bytes have been read
 * up to its end. is_last: there are none behind them so far. */
enum refusal body_next_piece(struct body *body, struct view bytes, bool is_last, struct view *piece,
                             size_t *used) MUST_CHECK;
/* Its time does not count from here to there. */
void body_pause(struct body *body, int64_t now_ms);
void body_resume(struct body *body, int64_t now_ms);

/* *used is how many of the bytes belong to the body; the rest is the next request. */
enum refusal body_feed(struct body *body, struct view bytes, int64_t now_ms,
                       size_t *used) MUST_CHECK;

/* Whether it comes in too slowly: a gap, the whole time, or the lowest rate. */
bool body_is_too_slow(const struct body *body, const struct http_limits *limits, int64_t now_ms);

void body_free(struct body *body);

#endif
