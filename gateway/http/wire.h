/* gateway/http/wire.h: a connection's bytes in and out of the kernel, whatever its state. */
#ifndef GATEWAY_HTTP_WIRE_H
#define GATEWAY_HTTP_WIRE_H

#include "common/base/cleanup.h"
#include "common/base/view.h"

#include <event2/bufferevent.h>

/* Writes at once what the kernel takes and queues the rest. False when the connection is broken. */
bool wire_send(struct bufferevent *bev, struct view head, struct view body) MUST_CHECK;

/* Bytes queued here; and together with those that the kernel holds. */
size_t wire_unsent(struct bufferevent *bev);
size_t wire_unacknowledged(struct bufferevent *bev);

/* Reads while the input is shorter than max; not any more with ended. */
void wire_bound_input(struct bufferevent *bev, size_t max, bool ended);

/* Whether the peer can neither send nor receive. TCP tells "sends no more" and "is gone" alike,
 * until something we send, a keep-alive probe if nothing else, is answered by a reset. */
bool wire_peer_is_gone(struct bufferevent *bev);

/* Closing will not wait for a peer that does not read. */
void wire_reset_on_close(struct bufferevent *bev);

#endif
