/* gateway/preview/preview.h: the surface by which visitors reach what listens inside sandboxes. It
 * is chosen by the Host of a request, or by the path, before any other: a preview's host has no
 * address of the API, and the API's host has previews only below /preview/. */
#ifndef GATEWAY_PREVIEW_PREVIEW_H
#define GATEWAY_PREVIEW_PREVIEW_H

#include "common/base/id.h"

struct exposed_cache;
struct http_exchange;
struct http_head;
struct hub;
struct limits;
struct limit_policy;
struct loop;
struct preview;

enum {
    PREVIEW_REQUESTS_MAX = 256, /* of one sandbox at once, with WebSockets; more: 503 */
};

struct preview_options {
    struct loop *loop;                       /* borrowed */
    struct hub *hub;                         /* borrowed */
    struct exposed_cache *exposed;           /* borrowed */
    const char *domain;                      /* PREVIEW_DOMAIN; borrowed */
    bool is_tls;                             /* what clients use */
    struct limits *limits;                   /* borrowed; NULL: there are none */
    const struct limit_policy *limit_policy; /* borrowed */
};
struct preview *preview_new(const struct preview_options *options, struct err *err) MUST_CHECK;
/* Ends what is under way. The HTTP server and the hub must still be there. NULL is fine. */
void preview_free(struct preview *preview);

/* Whether a request is for a preview: then its target is the program's business alone. preview may
 * be NULL: none is. */
bool preview_is_for(const struct preview *preview, const struct http_head *head) MUST_CHECK;

/* True when the request is for a preview: it is answered in every case. The same about NULL. */
bool preview_handle(struct preview *preview, struct http_exchange *exchange) MUST_CHECK;

/* The channel's news: something of the sandbox changed, or of any; what is under way and would
 * not be let in any more by what let it in is cut. NULL is fine. */
void preview_check(struct preview *preview, const char sandbox_id[ID_SIZE]);
void preview_check_all(struct preview *preview);

#endif
