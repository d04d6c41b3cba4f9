/* gateway/limits/lease.h: the one script that every gateway leases tokens by, atomically in Redis.
 *
 * A bucket is a hash: its units and when they were counted (Redis' clock), and a field for each
 * gateway that holds tokens: how many, and until when they are kept in mind. What lies in the hash
 * and what is held never exceed the burst together. So, as long as Redis answers and keeps its
 * data, all gateways together admit in any span of time at most the burst and what the rate gives
 * for it: no request too many, however many gateways there are and however they lease. (A gateway
 * stops using tokens before Redis stops keeping them in mind, as it counts from when it asked.) In
 * exchange, tokens that one gateway holds and does not use are missing to the others: at most a
 * BUCKET_BATCHES-th of the burst, or one, for LEASE_KEPT_MS. Tokens for requests that wait for them
 * are used at once, and not kept in mind: until it is told, Redis can't know which of those that it
 * keeps in mind are used, and makes none in their place. */
#ifndef GATEWAY_LIMITS_LEASE_H
#define GATEWAY_LIMITS_LEASE_H

#include "common/redis/redis.h"
#include "gateway/limits/bucket.h"

enum {
    LEASE_KEY_SIZE = 384,
    LEASE_KEPT_MS = 2000, /* of tokens that a gateway holds, or gives back */
};

struct lease {
    const char *key;     /* of the bucket */
    const char *gateway; /* its id */
    struct limit_rate rate;
    const struct bucket_order *order;
};

/* Copies all of it. done as redis_send; its reply is for lease_read. */
bool lease_send(struct redis *redis, const struct lease *lease, int64_t timeout_ms,
                redis_reply_fn *done, void *arg, struct err *err) MUST_CHECK;

/* What the script answered: tokens granted, at most wanted, and the units left. */
bool lease_read(const redisReply *reply, int32_t wanted, int32_t *granted, int64_t *units,
                struct err *err) MUST_CHECK;

#endif
