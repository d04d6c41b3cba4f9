/* gateway/http/wire.h: a connection's bytes in and out of the kernel, whatever its state. */
#ifndef GATEWAY_HTTP_WIRE_H
#define GATEWAY_HTTP_WIRE_H

#include "common/base/cleanup.h"
#include "common/base/view.h"

#include <event2/bufferevent.h>
#include <stdint.h>

enum {
    WIRE_PARTS_MAX = 3,
    /* With what is put around it on its way on (heads of an evbuffer's chain and of a frame) it is
     * a block of 64 KiB. */
    WIRE_READ_MAX = 64 * 1024 - 128,
    WIRE_USER_TIMEOUT_MS = 60 * 1000, /* TCP_USER_TIMEOUT of ordinary connections */
};

/* Writes at once what the kernel takes and queues a copy of the rest; at most WIRE_PARTS_MAX parts.
 * False when the connection is broken. */
bool wire_send(struct bufferevent *bev, const struct view *parts, size_t count) MUST_CHECK;

bool wire_is_tls(struct bufferevent *bev);

/* Over TLS: tells the peer that nothing follows what was sent, all of which is in the kernel. */
void wire_say_end(struct bufferevent *bev);

/* Bytes queued here; and together with those that the kernel holds. */
size_t wire_unsent(struct bufferevent *bev);
size_t wire_unacknowledged(struct bufferevent *bev);

/* In the read callback: whether libevent, which takes little at a time, took so much that there may
 * be more. */
bool wire_may_have_more(struct bufferevent *bev);
/* Reads on until the input has WIRE_READ_MAX bytes. False when that was all for now; over TLS
 * always.
 */
bool wire_read_more(struct bufferevent *bev);

/* Reads while the input is shorter than max; not any more with ended. */
void wire_bound_input(struct bufferevent *bev, size_t max, bool ended);

/* Whether the peer can neither send nor receive. TCP tells "sends no more" and "is gone" alike,
 * until something we send, a keep-alive probe if nothing else, is answered by a reset. */
bool wire_peer_is_gone(struct bufferevent *bev);

/* Whether a TCP peer has left bytes, or questions whether it takes any, without a sign of life for
 * WIRE_USER_TIMEOUT_MS. One that answers but takes nothing is not silent. */
bool wire_peer_is_silent(struct bufferevent *bev);

/* How long TCP may wait for a peer that takes nothing. The kernel counts the time of one that says
 * so in answer to its probes too. */
void wire_set_patience(struct bufferevent *bev, int64_t ms);

/* Larger writes a turn, and over TLS reads, for bytes in bulk; or the defaults. */
void wire_set_bulk(struct bufferevent *bev, bool bulk);

/* Closing will not wait for a peer that does not read. */
void wire_reset_on_close(struct bufferevent *bev);

#endif
