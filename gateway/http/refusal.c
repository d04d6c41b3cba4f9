#include "gateway/http/refusal.h"

static const struct refusal_answer answers[] = {
    [REFUSAL_NONE] = {500, "internal_error", "Something went wrong on our side"},
    [REFUSAL_MALFORMED] = {400, "bad_request", "The request is malformed"},
    [REFUSAL_REQUEST_LINE] = {400, "bad_request_line", "The request line is malformed"},
    [REFUSAL_TARGET] = {400, "bad_target", "The request target is malformed"},
    [REFUSAL_TARGET_TOO_LONG] = {414, "target_too_long", "The request target is too long"},
    [REFUSAL_ESCAPES] = {400, "bad_target", "The request target has a bad escape or a dot segment"},
    [REFUSAL_VERSION] = {505, "version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are spoken"},
    [REFUSAL_METHOD_NOT_ALLOWED] = {405, "method_not_allowed", "This method is not allowed here"},
    [REFUSAL_METHOD_UNKNOWN] = {501, "method_unknown", "This method is not known"},
    [REFUSAL_LINE_END] = {400, "bad_line_end", "Lines must end with CR LF"},
    [REFUSAL_HEADER] = {400, "bad_header", "A header line is malformed"},
    [REFUSAL_HEADERS_TOO_LARGE] = {431, "headers_too_large", "The headers are too large"},
    [REFUSAL_HEADER_REPEATED] = {400, "header_repeated",
                                 "A header that must be single is repeated"},
    [REFUSAL_HOST] = {400, "bad_host", "A single valid Host header is required"},
    [REFUSAL_LENGTH] = {400, "bad_content_length", "Content-Length is malformed"},
    [REFUSAL_CODING] = {400, "bad_transfer_encoding", "Transfer-Encoding is malformed"},
    [REFUSAL_CODING_UNKNOWN] = {501, "transfer_encoding_unknown",
                                "Only the transfer encoding \"chunked\" is known"},
    [REFUSAL_FRAMING] = {400, "bad_framing", "The length of the message is ambiguous"},
    [REFUSAL_CHUNK] = {400, "bad_chunk", "The chunked body is malformed"},
    [REFUSAL_BODY_TOO_LARGE] = {413, "payload_too_large", "The body is too large"},
    [REFUSAL_BODY_INCOMPLETE] = {400, "body_incomplete", "The body ended early"},
    [REFUSAL_EXPECTATION] = {417, "expectation_failed", "Only \"100-continue\" can be expected"},
    [REFUSAL_HEAD_SLOW] = {408, "request_timeout", "The request did not arrive in time"},
    [REFUSAL_BODY_SLOW] = {408, "request_timeout", "The body did not arrive in time"},
    [REFUSAL_ADDRESS_BUSY] = {429, "too_many_connections",
                              "Too many connections from this address"},
    [REFUSAL_OVERLOADED] = {503, "overloaded", "Too many connections; try again shortly"},
    [REFUSAL_INTERNAL] = {500, "internal_error", "Something went wrong on our side"},
};

const struct refusal_answer *refusal_answer(enum refusal refusal)
{
    return &answers[refusal];
}
