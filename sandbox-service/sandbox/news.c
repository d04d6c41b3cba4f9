#include "sandbox-service/sandbox/news.h"

#include "common/base/log.h"
#include "common/contracts/invalidation.h"
#include "common/redis/redis.h"
#include "sandbox-service/life/reaper.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

enum {
    TELL_TIMEOUT_MS = 1000,
    TELL_AGAIN_MS = 200,
};

struct news {
    const struct sandboxes *sandboxes; /* borrowed */
    struct reaper *reaper;             /* borrowed */
    struct redis_subscription *subscription;
    struct timer due; /* of what is to be told */
};

static void on_message(struct view message, void *arg)
{
    const struct news *news = arg;
    enum invalidation_kind kind;
    char id[INVALIDATION_ID_SIZE];
    if (invalidation_read(message, &kind, id) && kind == INVALIDATE_USER) {
        reaper_hurry_user(news->reaper);
    }
}

static void on_state(bool subscribed, void *arg)
{
    (void)arg;
    log_debug("news.state", LOG_INT("subscribed", subscribed));
}

static void on_told(const redisReply *reply, const struct err *err, void *arg)
{
    (void)reply;
    struct news *news = arg;
    if (err != NULL) {
        timer_arm(&news->due, TELL_AGAIN_MS);
    }
}

/* Until Redis takes it. */
static void tell(void *arg)
{
    struct news *news = arg;
    struct err err = {0};
    char message[INVALIDATION_MESSAGE_SIZE];
    invalidation_write(INVALIDATE_SANDBOXES, "", message);
    const struct view words[] = {VIEW("PUBLISH"), view_of(news->sandboxes->channel),
                                 view_of(message)};
    if (!redis_send(news->sandboxes->redis, words, sizeof words / sizeof words[0], TELL_TIMEOUT_MS,
                    on_told, news, &err)) {
        timer_arm(&news->due, TELL_AGAIN_MS);
    }
}

void news_tell(struct news *news)
{
    timer_arm(&news->due, 0);
}

struct news *news_open(const struct sandboxes *sandboxes, struct reaper *reaper, struct err *err)
{
    static const struct redis_subscriber subscriber = {on_message, on_state};
    struct news *news = calloc(1, sizeof *news);
    if (news == NULL) {
        err_set(err, ERR_INTERNAL, "news: out of memory");
        return NULL;
    }
    news->sandboxes = sandboxes;
    news->reaper = reaper;
    news->subscription = redis_subscribe(sandboxes->loop, sandboxes->config->redis_url,
                                         sandboxes->channel, &subscriber, news, err);
    if (news->subscription == NULL || !timer_open(&news->due, sandboxes->loop, tell, news, err)) {
        news_close(news);
        return NULL;
    }
    return news;
}

void news_close(struct news *news)
{
    if (news == NULL) {
        return;
    }
    redis_cancel(news->sandboxes->redis, news);
    timer_close(&news->due);
    if (news->subscription != NULL) {
        redis_unsubscribe(news->subscription);
    }
    free(news);
}
