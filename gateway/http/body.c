#include "gateway/http/body.h"

#include "gateway/http/head_check.h"
#include "gateway/http/parser.h"

enum {
    BODY_FIRST_RESERVE = 64 * 1024,
    BODY_RATE_MIN = 1024, /* bytes a second */
    BODY_RATE_GRACE_MS = 5000,
};

void body_init(struct body *body, const struct head_check *head, struct parser *parser)
{
    *body = (struct body){
        .parser = parser,
        .is_chunked = head->is_chunked,
        .length = head->content_length,
        .left = head->content_length,
        .complete = !head->is_chunked && head->content_length == 0,
    };
    chunk_check_begin(&body->chunks, 0, head->header_bytes, head->header_count);
}

static bool start(struct body *body, uint64_t max, int64_t now_ms)
{
    body->chunks.room = max;
    body->begun_ms = now_ms;
    body->last_ms = now_ms;
    return body->is_chunked || body->length <= max;
}

enum refusal body_begin_stream(struct body *body, uint64_t max, int64_t now_ms)
{
    body->is_streamed = true;
    return start(body, max, now_ms) ? REFUSAL_NONE : REFUSAL_BODY_TOO_LARGE;
}

enum refusal body_begin(struct body *body, size_t max, int64_t now_ms)
{
    if (!start(body, max, now_ms)) {
        return REFUSAL_BODY_TOO_LARGE;
    }
    body->data = STR_SECRET(max);
    if (body->length > 0) {
        size_t reserve =
            body->length < BODY_FIRST_RESERVE ? (size_t)body->length : (size_t)BODY_FIRST_RESERVE;
        (void)str_reserve(&body->data, reserve);
    }
    return body->data.failed ? REFUSAL_INTERNAL : REFUSAL_NONE;
}

static enum refusal measure(struct body *body, struct view bytes, size_t *used, bool *ends)
{
    enum refusal refusal = REFUSAL_NONE;
    if (body->is_chunked) {
        refusal = chunk_check_feed(&body->chunks, bytes.ptr, bytes.len, used);
        *ends = body->chunks.state == CHUNK_END;
    } else {
        *used = body->left < bytes.len ? (size_t)body->left : bytes.len;
        body->left -= *used;
        *ends = body->left == 0;
    }
    return refusal;
}

enum refusal body_feed(struct body *body, struct view bytes, int64_t now_ms, size_t *used)
{
    bool ends = false;
    enum refusal refusal = measure(body, bytes, used, &ends);
    if (refusal != REFUSAL_NONE) {
        return refusal;
    }
    if (!parser_read_body(body->parser, (struct view){bytes.ptr, *used}, &body->data) ||
        parser_is_complete(body->parser) != ends) {
        return body->is_chunked ? REFUSAL_CHUNK : REFUSAL_FRAMING;
    }
    body->complete = ends;
    body->received += *used;
    body->last_ms = now_ms;
    return body->data.failed ? REFUSAL_INTERNAL : REFUSAL_NONE;
}

enum refusal body_measure(struct body *body, struct view bytes, int64_t now_ms, size_t *used)
{
    enum refusal refusal = measure(body, bytes, used, &body->is_measured);
    body->received += *used;
    body->last_ms = now_ms;
    return refusal;
}

enum refusal body_next_piece(struct body *body, struct view bytes, bool is_last, struct view *piece,
                             size_t *used)
{
    bool ok = parser_read_piece(body->parser, bytes, piece, used);
    bool ends = body->is_measured && is_last && *used == bytes.len;
    if (!ok || parser_is_complete(body->parser) != ends) {
        return body->is_chunked ? REFUSAL_CHUNK : REFUSAL_FRAMING;
    }
    body->complete = ends;
    return REFUSAL_NONE;
}

void body_pause(struct body *body, int64_t now_ms)
{
    body->paused_ms = now_ms;
}

void body_resume(struct body *body, int64_t now_ms)
{
    body->begun_ms += now_ms - body->paused_ms;
    body->last_ms += now_ms - body->paused_ms;
    body->paused_ms = 0;
}

bool body_is_too_slow(const struct body *body, const struct http_limits *limits, int64_t now_ms)
{
    int64_t elapsed_ms = now_ms - body->begun_ms;
    int64_t wanted = elapsed_ms * BODY_RATE_MIN / 1000;
    return now_ms - body->last_ms >= limits->body_gap_ms ||
           (!body->is_streamed && elapsed_ms >= limits->body_timeout_ms) ||
           (elapsed_ms >= BODY_RATE_GRACE_MS && body->received < (uint64_t)wanted);
}

void body_free(struct body *body)
{
    str_free(&body->data);
}
