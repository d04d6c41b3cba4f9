/* gateway/http/refusal.h: the answers the server gives by itself, before or instead of a handler.
 */
#ifndef GATEWAY_HTTP_REFUSAL_H
#define GATEWAY_HTTP_REFUSAL_H

enum refusal {
    REFUSAL_NONE,
    REFUSAL_MALFORMED, /* llhttp's word; it tells no more */
    REFUSAL_REQUEST_LINE,
    REFUSAL_TARGET,
    REFUSAL_TARGET_TOO_LONG,
    REFUSAL_ESCAPES,
    REFUSAL_VERSION,
    REFUSAL_METHOD_NOT_ALLOWED,
    REFUSAL_METHOD_UNKNOWN,
    REFUSAL_LINE_END,
    REFUSAL_HEADER,
    REFUSAL_HEADERS_TOO_LARGE,
    REFUSAL_HEADER_REPEATED,
    REFUSAL_HOST,
    REFUSAL_LENGTH,
    REFUSAL_CODING,
    REFUSAL_CODING_UNKNOWN,
    REFUSAL_FRAMING,
    REFUSAL_CHUNK,
    REFUSAL_BODY_TOO_LARGE,
    REFUSAL_BODY_INCOMPLETE,
    REFUSAL_EXPECTATION,
    REFUSAL_HEAD_SLOW,
    REFUSAL_BODY_SLOW,
    REFUSAL_ADDRESS_BUSY,
    REFUSAL_OVERLOADED,
    REFUSAL_INTERNAL,
};

struct refusal_answer {
    int status;
    const char *code;
    const char *sentence;
};
const struct refusal_answer *refusal_answer(enum refusal refusal);

#endif
