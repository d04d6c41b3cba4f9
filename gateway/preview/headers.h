/* gateway/preview/headers.h: which headers end at a proxy (RFC 9110, 7.6.1). */
#ifndef GATEWAY_PREVIEW_HEADERS_H
#define GATEWAY_PREVIEW_HEADERS_H

#include "common/base/cleanup.h"
#include "gateway/http/header.h"

struct header_set {
    const struct http_header *headers;
    size_t count;
};

/* The first of that name, in any letter case; ptr NULL when absent. */
struct view headers_find(struct header_set set, struct view name);

/* Connection and all it names, Keep-Alive, Proxy-..., TE, Trailer, Transfer-Encoding, Upgrade; and
 * Content-Length, since the framing is always written anew. */
bool headers_is_hop_by_hop(struct header_set set, struct view name) MUST_CHECK;

/* Whether names (in any letter case) has it. */
bool headers_is_one_of(const struct view *names, size_t count, struct view name) MUST_CHECK;

#endif
