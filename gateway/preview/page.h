/* gateway/preview/page.h: what a visitor of a preview sees when there is nothing to see: a small
 * page, or JSON where the request accepts that and no page. */
#ifndef GATEWAY_PREVIEW_PAGE_H
#define GATEWAY_PREVIEW_PAGE_H

#include "common/base/err.h"

struct http_exchange;

enum page_kind {
    PAGE_NOT_FOUND,    /* 404: unknown, or not exposed: one answer for both */
    PAGE_UNAUTHORIZED, /* 401 */
    PAGE_PORT_CLOSED,  /* 502: nothing listens there */
    PAGE_SANDBOX_GONE, /* 502 */
    PAGE_BAD_ANSWER,   /* 502: it closed early, or speaks no HTTP */
    PAGE_AGENT_LOST,
    PAGE_SANDBOX_PAUSED, /* 503 */
    PAGE_BUSY,           /* 503: too many requests at once */
    PAGE_LIMITED,        /* 429: too many requests of the visitor */
    PAGE_UNAVAILABLE,    /* 503: a service of ours */
    PAGE_TIMEOUT,        /* 504 */
    PAGE_INTERNAL,       /* 500 */
};

/* Answers the exchange and ends it. */
void page_respond(struct http_exchange *exchange, enum page_kind kind);
/* PAGE_LIMITED with its time to come again. */
void page_respond_limited(struct http_exchange *exchange, int retry_after_s);

/* The page for an error of a stream, of its dial or of a service. */
enum page_kind page_of_error(const struct err *err);

#endif
