#include "auth-service/api_keys/announce.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>

enum {
    PUBLISH_TIMEOUT_MS = 500,
    RETRY_MS = 500,
};

struct announcer {
    struct redis *redis; /* borrowed */
    struct timer timer;
    char channel[INVALIDATION_CHANNEL_SIZE];
    struct list waiting; /* announcements that have to be sent, or sent again */
    size_t count;        /* those and the ones under way */
};

struct announcement {
    struct list node;            /* in announcer->waiting while it waits */
    struct announcer *announcer; /* borrowed */
    char message[INVALIDATION_MESSAGE_SIZE];
    int64_t deadline_ms; /* monotonic */
    announced_fn *done;  /* NULL: none, or called already */
    void *arg;
};

static void tell(struct announcement *announcement, bool published)
{
    if (announcement->done != NULL) {
        announced_fn *done = TAKE(announcement->done);
        done(published, announcement->arg);
    }
}

static void finish(struct announcement *announcement)
{
    announcement->announcer->count--;
    free(announcement);
}

static void wait_for_retry(struct announcement *announcement)
{
    struct announcer *announcer = announcement->announcer;
    list_append(&announcer->waiting, &announcement->node);
    if (!timer_is_armed(&announcer->timer)) {
        timer_arm(&announcer->timer, RETRY_MS);
    }
}

static void on_published(const redisReply *reply, const struct err *err, void *arg)
{
    struct announcement *announcement = arg;
    (void)reply;
    tell(announcement, err == NULL);
    if (err == NULL) {
        finish(announcement);
    } else if (clock_monotonic_ms() < announcement->deadline_ms) {
        wait_for_retry(announcement);
    } else {
        log_warn("invalidation.not_published", LOG_STR("message", announcement->message),
                 LOG_ERR(err));
        finish(announcement);
    }
}

static void publish(struct announcement *announcement)
{
    const struct announcer *announcer = announcement->announcer;
    const struct view words[] = {VIEW("PUBLISH"), view_of(announcer->channel),
                                 view_of(announcement->message)};
    struct err err;
    if (!redis_send(announcer->redis, words, sizeof words / sizeof words[0], PUBLISH_TIMEOUT_MS,
                    on_published, announcement, &err)) {
        on_published(NULL, &err, announcement);
    }
}

static void on_timer(void *arg)
{
    struct announcer *announcer = arg;
    struct list due;
    list_init(&due);
    list_append_all(&due, &announcer->waiting);
    for (LIST_EACH(node, &due)) {
        list_remove(node);
        publish(LIST_ENTRY(node, struct announcement, node));
    }
}

struct announcer *announcer_open(struct loop *loop, struct redis *redis, const char *instance,
                                 struct err *err)
{
    struct announcer *announcer = calloc(1, sizeof *announcer);
    if (announcer == NULL) {
        err_set(err, ERR_INTERNAL, "announcer: out of memory");
        return NULL;
    }
    announcer->redis = redis;
    list_init(&announcer->waiting);
    if (!invalidation_channel(instance, announcer->channel, err) ||
        !timer_open(&announcer->timer, loop, on_timer, announcer, err)) {
        free(announcer);
        return NULL;
    }
    return announcer;
}

void announcer_close(struct announcer *announcer)
{
    if (announcer == NULL) {
        return;
    }
    for (LIST_EACH(node, &announcer->waiting)) {
        struct announcement *announcement = LIST_ENTRY(node, struct announcement, node);
        list_remove(node);
        log_warn("invalidation.not_published", LOG_STR("message", announcement->message));
        tell(announcement, false);
        finish(announcement);
    }
    timer_close(&announcer->timer);
    free(announcer);
}

bool announce(struct announcer *announcer, enum invalidation_kind kind, const char *id,
              announced_fn *done, void *arg, struct err *err)
{
    if (announcer->count == ANNOUNCEMENTS_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too many announcements wait for Redis");
    }
    struct announcement *announcement = calloc(1, sizeof *announcement);
    if (announcement == NULL) {
        return err_set(err, ERR_INTERNAL, "announcement: out of memory");
    }
    announcement->announcer = announcer;
    announcement->deadline_ms = clock_monotonic_ms() + ANNOUNCE_FOR_MS;
    announcement->done = done;
    announcement->arg = arg;
    invalidation_write(kind, id, announcement->message);
    announcer->count++;
    list_append(&announcer->waiting, &announcement->node);
    timer_arm(&announcer->timer, 0);
    return true;
}

size_t announcer_count(const struct announcer *announcer)
{
    return announcer->count;
}
