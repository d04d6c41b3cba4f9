/* gateway/limits/answer.h: how a client hears of its limits. */
#ifndef GATEWAY_LIMITS_ANSWER_H
#define GATEWAY_LIMITS_ANSWER_H

#include "gateway/http/header.h"
#include "gateway/limits/limits.h"

enum {
    LIMIT_HEADERS = 5,
    LIMIT_HEADER_TEXT_SIZE = 192,
};

/* RateLimit-Limit (the burst), RateLimit-Remaining, RateLimit-Reset (seconds until all of the burst
 * is there), and the same as RateLimit-Policy and RateLimit. The values lie in text: not to be
 * moved. */
struct limit_headers {
    struct http_header headers[LIMIT_HEADERS];
    char text[LIMIT_HEADER_TEXT_SIZE];
};
void limit_headers_write(const struct limit_verdict *verdict, struct limit_headers *out);

/* Seconds, at least 1: Retry-After of a refusal. */
int limit_retry_after_s(const struct limit_verdict *verdict);

/* Of LIMIT_REFUSED: ERR_LIMIT "rate_limited". Of LIMIT_UNAVAILABLE: ERR_UNAVAILABLE
 * "rate_limit_unavailable"; verdict is not looked at. Returns false. */
bool limit_error(enum limit_answer answer, const struct limit_verdict *verdict, struct err *err);

#endif
