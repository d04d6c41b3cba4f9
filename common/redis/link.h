/* common/redis/link.h: one connection to Redis that comes back by itself; private to this folder.
 */
#ifndef COMMON_REDIS_LINK_H
#define COMMON_REDIS_LINK_H

#include "common/event/loop.h"
#include "common/redis/address.h"

#include <hiredis/async.h>

struct redis_link;

struct redis_link_hooks {
    void (*on_up)(void *arg);   /* signed in, the database chosen */
    void (*on_down)(void *arg); /* it was up and broke; commands in flight have heard of it */
};

/* Copies address; borrows hooks for the link's life. Connects from the loop. */
struct redis_link *redis_link_open(struct loop *loop, const struct redis_address *address,
                                   const struct redis_link_hooks *hooks, void *arg,
                                   struct err *err) MUST_CHECK;
/* No hook is called any more; hiredis calls the callbacks of what is in flight with a NULL reply,
 * now or, from inside such a callback, when that returns. Accepts NULL. */
void redis_link_close(struct redis_link *link);

/* To send on while the link is up; NULL otherwise. */
redisAsyncContext *redis_link_context(const struct redis_link *link);

/* Gives a silent connection up and connects anew; on_down is called. */
void redis_link_reset(struct redis_link *link, const char *why);

/* True for an ordinary reply; otherwise err says what an error reply, or none (NULL), means. */
bool redis_link_check(const redisReply *reply, struct err *err) MUST_CHECK;

#endif
