/* gateway/preview/request_head.h: the request's head as the program gets it. */
#ifndef GATEWAY_PREVIEW_REQUEST_HEAD_H
#define GATEWAY_PREVIEW_REQUEST_HEAD_H

#include "common/base/str.h"

#include <stdint.h>

struct http_head;
struct preview_destination;

enum {
    REQUEST_HEAD_MAX = 64 * 1024,
    REQUEST_BODY_NONE = -2,
    REQUEST_BODY_CHUNKED = -1,
};

struct request_head {
    const struct http_head *head;
    const struct preview_destination *destination;
    const char *peer;        /* the client's address */
    const char *traceparent; /* instead of the client's, which has none; NULL: it brings one */
    bool is_tls;             /* between the client and us */
    bool hides_token;    /* the port is behind a token, so "preview_token" in the query is ours */
    int64_t body_length; /* bytes, or one of the two above */
};

/* Method, target and headers as sent, less what ends at a proxy and less our own credentials, with
 * the framing, X-Forwarded-... and, in the path form, Host written anew. */
void request_head_write(const struct request_head *request, struct str *out);

#endif
