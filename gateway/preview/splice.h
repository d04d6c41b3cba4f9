/* gateway/preview/splice.h: a client's connection and one to a port, joined byte for byte behind an
 * upgrade. */
#ifndef GATEWAY_PREVIEW_SPLICE_H
#define GATEWAY_PREVIEW_SPLICE_H

#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/base/view.h"
#include "gateway/ports/exposed.h"

#include <stdbool.h>
#include <stdint.h>

struct bufferevent;
struct http_place;
struct loop;
struct splice;
struct upstream;

enum {
    SPLICE_IDLE_MS = 10 * 60 * 1000, /* without a byte either way */
    SPLICE_BACKLOG_MAX = 64 * 1024,  /* for the client; the program gets no credit beyond */
};

struct splice_options {
    struct loop *loop;                      /* borrowed */
    struct bufferevent *bev;                /* taken */
    struct http_place *place;               /* taken; may be NULL */
    struct upstream *upstream;              /* taken */
    struct exposed_grant grant;             /* what splice_grant tells */
    struct view rest;                       /* what the program has said already; not granted yet */
    void (*on_end)(void *owner, void *arg); /* once, later, unless splice_close was first */
    void *owner;
    void *arg;
};
/* False when out of memory: all is closed then, and on_end does not come. The splice is in list
 * until its end. */
bool splice_begin(const struct splice_options *options, struct list *list) MUST_CHECK;

struct splice *splice_of_node(struct list *node);
const struct exposed_grant *splice_grant(const struct splice *splice);
/* Whom it was begun for. */
void *splice_owner(const struct splice *splice);
/* Ends it without on_end. */
void splice_close(struct splice *splice);

#endif
