#include "common/base/clock.h"
#include "common/redis/link.h"
#include "common/redis/redis.h"

#include <stdlib.h>

enum {
    CHANNEL_SIZE = 128,
    HEARTBEAT_MS = 1000,
    SILENT_MS = 3000,
};

struct redis_subscription {
    struct redis_link *link; /* owned */
    char channel[CHANNEL_SIZE];
    const struct redis_subscriber *subscriber; /* borrowed */
    void *arg;
    struct timer heartbeat; /* armed while the link is up */
    int64_t heard_ms;       /* monotonic: the last word of the server */
    bool subscribed;
};

static void set_subscribed(struct redis_subscription *subscription, bool subscribed)
{
    if (subscription->subscribed != subscribed) {
        subscription->subscribed = subscribed;
        subscription->subscriber->on_state(subscribed, subscription->arg);
    }
}

/* {"message", channel, payload} or {"subscribe", channel, count}. The subscriber may end the
 * subscription: nothing of it is used afterwards. */
static void on_push(redisAsyncContext *context, void *data, void *arg)
{
    const redisReply *reply = data;
    /* Of a link that was closed nobody wants to hear. */
    struct redis_subscription *subscription = context->data == NULL ? NULL : arg;
    if (subscription == NULL || reply == NULL || reply->type != REDIS_REPLY_ARRAY ||
        reply->elements < 3 || reply->element[0]->type != REDIS_REPLY_STRING) {
        return;
    }
    const redisReply *kind = reply->element[0];
    const redisReply *payload = reply->element[2];
    subscription->heard_ms = clock_monotonic_ms();
    if (view_equal((struct view){kind->str, kind->len}, VIEW("subscribe"))) {
        set_subscribed(subscription, true);
    } else if (payload->type == REDIS_REPLY_STRING) {
        subscription->subscriber->on_message((struct view){payload->str, payload->len},
                                             subscription->arg);
    }
}

/* Asking again for what one has is the heartbeat: hiredis can't send PING while subscribed. */
static void subscribe(struct redis_subscription *subscription)
{
    const char *words[] = {"SUBSCRIBE", subscription->channel};
    const size_t lengths[] = {strlen(words[0]), strlen(words[1])};
    timer_arm(&subscription->heartbeat, HEARTBEAT_MS);
    if (redisAsyncCommandArgv(redis_link_context(subscription->link), on_push, subscription, 2,
                              words, lengths) != REDIS_OK) {
        redis_link_reset(subscription->link, "can't subscribe");
    }
}

static void on_up(void *arg)
{
    struct redis_subscription *subscription = arg;
    subscription->heard_ms = clock_monotonic_ms();
    subscribe(subscription);
}

static void on_down(void *arg)
{
    struct redis_subscription *subscription = arg;
    timer_disarm(&subscription->heartbeat);
    set_subscribed(subscription, false);
}

static void on_heartbeat(void *arg)
{
    struct redis_subscription *subscription = arg;
    if (clock_monotonic_ms() - subscription->heard_ms >= SILENT_MS) {
        redis_link_reset(subscription->link, "the subscription is silent");
    } else {
        subscribe(subscription);
    }
}

static const struct redis_link_hooks hooks = {.on_up = on_up, .on_down = on_down};

struct redis_subscription *redis_subscribe(struct loop *loop, const char *url, const char *channel,
                                           const struct redis_subscriber *subscriber, void *arg,
                                           struct err *err)
{
    struct redis_address address;
    if (!redis_address_read(url, &address, err)) {
        return NULL;
    }
    struct redis_subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL ||
        !view_copy(view_of(channel), subscription->channel, sizeof subscription->channel)) {
        free(subscription);
        err_set(err, ERR_INTERNAL, "redis: out of memory, or the channel's name is too long");
        return NULL;
    }
    subscription->subscriber = subscriber;
    subscription->arg = arg;
    subscription->link = redis_link_open(loop, &address, &hooks, subscription, err);
    if (subscription->link == NULL ||
        !timer_open(&subscription->heartbeat, loop, on_heartbeat, subscription, err)) {
        redis_unsubscribe(subscription);
        return NULL;
    }
    return subscription;
}

void redis_unsubscribe(struct redis_subscription *subscription)
{
    if (subscription == NULL) {
        return;
    }
    redis_link_close(subscription->link);
    timer_close(&subscription->heartbeat);
    free(subscription);
}
