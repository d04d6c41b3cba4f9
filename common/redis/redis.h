/* common/redis/redis.h: Redis on the loop: one connection for commands, one for a subscription. */
#ifndef COMMON_REDIS_REDIS_H
#define COMMON_REDIS_REDIS_H

#include "common/base/view.h"
#include "common/event/loop.h"

#include <hiredis/hiredis.h>
#include <stdint.h>

enum { REDIS_PENDING_MAX = 4096 }; /* commands in flight; more: ERR_LIMIT "busy" */

struct redis;
struct redis_command;

/* url: redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=n]. The
 * host is an address or is looked up once, here. Connects and reconnects by itself with back-off.
 */
struct redis *redis_open(struct loop *loop, const char *url, struct err *err) MUST_CHECK;
/* Commands in flight end with ERR_UNAVAILABLE before this returns. */
void redis_close(struct redis *redis);
bool redis_is_up(const struct redis *redis);

/* reply is NULL when err is not; borrowed during the call. An error reply of Redis comes as err. */
typedef void redis_reply_fn(const redisReply *reply, const struct err *err, void *arg);

/* Sends words (a command and its arguments, any bytes; copied). done (may be NULL) comes exactly
 * once, later, on the loop, at the latest after timeout_ms. False when it can't begin: not
 * connected, too much in flight. */
bool redis_send(struct redis *redis, const struct view *words, size_t word_count,
                int64_t timeout_ms, redis_reply_fn *done, void *arg, struct err *err) MUST_CHECK;

/* Forgets every command of this arg: their done is not called any more. */
void redis_cancel(struct redis *redis, const void *arg);

struct redis_subscription;
struct redis_subscriber {
    /* A message of the channel. */
    void (*on_message)(struct view message, void *arg);
    /* The subscription holds from now on (true), or may have missed messages since (false). */
    void (*on_state)(bool subscribed, void *arg);
};
/* A connection of its own. Each second it subscribes anew, which changes nothing and shows that the
 * subscription stands; one that is silent for 3 s counts as lost. */
struct redis_subscription *redis_subscribe(struct loop *loop, const char *url, const char *channel,
                                           const struct redis_subscriber *subscriber, void *arg,
                                           struct err *err) MUST_CHECK;
void redis_unsubscribe(struct redis_subscription *subscription);

#endif
