/* gateway/cache/invalidation.h: listens to what the services publish and makes the caches forget.
 */
#ifndef GATEWAY_CACHE_INVALIDATION_H
#define GATEWAY_CACHE_INVALIDATION_H

#include "common/base/err.h"

struct gateway;
struct invalidation;

/* Borrows gateway: its caches and client sockets must be there. */
struct invalidation *invalidation_open(const struct gateway *gateway, struct err *err) MUST_CHECK;
void invalidation_close(struct invalidation *invalidation);

#endif
