/* gateway/http/forwarded.h: who a request comes from when proxies stand in front of us.
 *
 * Each proxy appends to X-Forwarded-For the address that it was called from. What a proxy that we
 * trust has appended is true, all to the left of that is what somebody says: the client is the
 * rightmost hop that is not a trusted proxy. */
#ifndef GATEWAY_HTTP_FORWARDED_H
#define GATEWAY_HTTP_FORWARDED_H

#include "gateway/http/address.h"
#include "gateway/http/header.h"

enum { FORWARDED_HOPS_MAX = 32 }; /* trusted proxies in a row; more are not believed */

enum forwarded_scheme {
    FORWARDED_SCHEME_UNKNOWN, /* nobody who is trusted says: the connection's own */
    FORWARDED_HTTP,
    FORWARDED_HTTPS,
};

struct forwarded {
    struct address client; /* the peer itself unless it is trusted and names another */
    enum forwarded_scheme scheme;
    struct view host; /* host[:port], borrowed from the headers; empty: nobody says */
};

/* Reads X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host; of a peer that is not trusted none
 * of them. Hops may have a port, IPv6 may stand in brackets. A hop that is no address, before the
 * client is found, leaves the peer; when every hop is trusted the leftmost is the client. Of scheme
 * and host the last value counts, since the nearest proxy wrote that. */
void forwarded_read(const struct address_list *trusted, const struct address *peer,
                    const struct http_header *headers, size_t header_count, struct forwarded *out);

#endif
