#include "sandbox-service/sandbox/news.h"

#include "common/base/log.h"
#include "common/contracts/invalidation.h"
#include "common/redis/redis.h"
#include "sandbox-service/life/reaper.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

struct news {
    struct reaper *reaper; /* borrowed */
    struct redis_subscription *subscription;
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

struct news *news_open(const struct sandboxes *sandboxes, struct reaper *reaper, struct err *err)
{
    static const struct redis_subscriber subscriber = {on_message, on_state};
    struct news *news = calloc(1, sizeof *news);
    if (news == NULL) {
        err_set(err, ERR_INTERNAL, "news: out of memory");
        return NULL;
    }
    news->reaper = reaper;
    news->subscription = redis_subscribe(sandboxes->loop, sandboxes->config->redis_url,
                                         sandboxes->channel, &subscriber, news, err);
    if (news->subscription == NULL) {
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
    if (news->subscription != NULL) {
        redis_unsubscribe(news->subscription);
    }
    free(news);
}
