/* gateway/http/outflow.h: what waits for clients to take it, over all connections of the process,
 * and the budget for it: memory is one, so this is too.
 *
 * Each connection has its own bound, but thousands of clients that do not read could fill all of
 * them at a time. So from half of the budget on, everybody who passes bytes on to a client keeps
 * less of them waiting, and streams are granted small windows (hub/stream.c); the other half is for
 * those. Nobody is cut off, and who reads is hardly slower. */
#ifndef GATEWAY_HTTP_OUTFLOW_H
#define GATEWAY_HTTP_OUTFLOW_H

#include <stdbool.h>
#include <stddef.h>

struct bufferevent;
struct evbuffer;
struct evbuffer_cb_entry;

void outflow_set_budget(size_t bytes);
/* Over half of it waits, or may come. */
bool outflow_is_tight(void);
size_t outflow_waiting(void);
/* What a source may send unasked has changed from was to is bytes. */
void outflow_expect(size_t was, size_t is);

/* Lies in whoever owns a client's connection; zero to begin with. */
struct outflow {
    struct evbuffer *buffer; /* borrowed; NULL: not counted */
    struct evbuffer_cb_entry *entry;
    size_t bytes;
};
/* Counts what waits in bev's output from now on. False: out of memory. */
bool outflow_begin(struct outflow *outflow, struct bufferevent *bev);
/* Before bev is freed, or another counts it. Accepts one that is zero. */
void outflow_end(struct outflow *outflow);

#endif
