/* gateway/preview/proxy.h: one request on its way to a program in a sandbox, and its answer on the
 * way back, as fast as both ends take them. */
#ifndef GATEWAY_PREVIEW_PROXY_H
#define GATEWAY_PREVIEW_PROXY_H

#include "common/base/list.h"
#include "gateway/ports/exposed.h"
#include "gateway/preview/destination.h"

#include <stdint.h>

struct http_exchange;
struct loop;
struct proxy;
struct upstreams;

enum { PROXY_IDLE_MS = 10 * 60 * 1000 /* without a byte either way */ };

static const uint64_t PROXY_BODY_MAX = (uint64_t)16 << 30U;

struct proxy_options {
    struct loop *loop;                             /* borrowed */
    struct upstreams *upstreams;                   /* borrowed */
    struct http_exchange *exchange;                /* answered in every case */
    const struct preview_destination *destination; /* copied; its path lies in the exchange */
    struct exposed_grant grant;                    /* what let it in */
    bool is_tls;                                   /* between the client and us */
    bool hides_token;                              /* as in struct request_head */
    struct list *proxies;                          /* what is under way is in one of the two */
    struct list *splices;
    /* It is over, whether as a request or, behind an upgrade, as a splice. Once, perhaps from
     * inside proxy_begin; not behind proxy_cancel or splice_close. */
    void (*on_end)(void *owner, void *arg);
    void *owner;
    void *arg;
};
void proxy_begin(const struct proxy_options *options);

struct proxy *proxy_of_node(struct list *node);
const struct exposed_grant *proxy_grant(const struct proxy *proxy);
void *proxy_owner(const struct proxy *proxy);
/* Answers 503, or breaks the answer that has begun. */
void proxy_cancel(struct proxy *proxy);

#endif
