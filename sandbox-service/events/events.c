#include "sandbox-service/events/events.h"

#include "common/base/log.h"
#include "common/contracts/invalidation.h"
#include "common/redis/redis.h"
#include "sandbox-service/call.h"
#include "sandbox-service/events/calls.h"
#include "sandbox-service/events/delivery.h"
#include "sandbox-service/events/store.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

enum {
    LOOK_EVERY_MS = 1000, /* for what other processes changed, and retries that are due */
    HURRY_MS = 20,        /* what changes meanwhile is numbered together */
    CLEAN_EVERY_MS = 10 * 60 * 1000,
    CLEAN_AGAIN_MS = 200, /* there is more */
    WAKE_TIMEOUT_MS = 1000,
};

struct events {
    struct sandboxes *sandboxes;   /* borrowed */
    struct event_store *store;     /* owned */
    struct deliveries *deliveries; /* owned */
    struct target_policy policy;
    struct timer look; /* armed while nobody is asked */
    struct timer clean;
    struct calls calls;
    bool hurry; /* something changed: the look is soon, or followed by one */
};

static void wake_readers(struct events *events, const char *user_id)
{
    struct err err = {0};
    char message[INVALIDATION_MESSAGE_SIZE];
    invalidation_write(INVALIDATE_EVENTS, user_id, message);
    const struct view words[] = {VIEW("PUBLISH"), view_of(events->sandboxes->channel),
                                 view_of(message)};
    if (!redis_send(events->sandboxes->redis, words, sizeof words / sizeof words[0],
                    WAKE_TIMEOUT_MS, NULL, NULL, &err)) {
        log_debug("events.not_told", LOG_ERR(&err));
    }
}

static void on_numbered(const PGresult *result, const struct err *err, void *arg)
{
    struct events *events = arg;
    int64_t count = 0;
    if (err != NULL) {
        log_debug("events.not_numbered", LOG_ERR(err));
    }
    for (int row = 0; err == NULL && row < pg_rows(result); row++) {
        const char *owner = event_store_read_owner(result, row);
        count += event_store_read_count(result, row);
        if (owner[0] != '\0') {
            wake_readers(events, owner);
        }
    }
    bool has_more = err == NULL && count >= EVENT_NUMBER_MAX;
    bool is_soon = err == NULL && events->hurry;
    events->hurry = is_soon;
    timer_arm(&events->look, has_more ? 0 : is_soon ? HURRY_MS : LOOK_EVERY_MS);
    if (err == NULL) {
        deliveries_look(events->deliveries);
    }
}

static void on_look(void *arg)
{
    struct events *events = arg;
    struct err err = {0};
    events->hurry = false;
    if (!event_store_number(events->store, on_numbered, events, &err)) {
        log_debug("events.not_numbered", LOG_ERR(&err));
        timer_arm(&events->look, LOOK_EVERY_MS);
    }
}

void events_hurry(struct events *events)
{
    if (events == NULL) {
        return;
    }
    if (!events->hurry && timer_is_armed(&events->look)) {
        timer_arm(&events->look, HURRY_MS);
    }
    events->hurry = true;
}

static void on_cleaned(const PGresult *result, const struct err *err, void *arg)
{
    struct events *events = arg;
    bool has_more = err == NULL && event_store_read_cleaned(result) == EVENT_CLEAN_MAX;
    if (err != NULL) {
        log_warn("events.not_cleaned", LOG_ERR(err));
    }
    timer_arm(&events->clean, has_more ? CLEAN_AGAIN_MS : CLEAN_EVERY_MS);
}

static void on_clean(void *arg)
{
    struct events *events = arg;
    struct err err = {0};
    if (!event_store_clean(events->store, events->sandboxes->config->events_keep_days, on_cleaned,
                           events, &err)) {
        on_cleaned(NULL, &err, events);
    }
}

struct events *events_open(struct sandboxes *sandboxes, struct err *err)
{
    const struct sandbox_config *config = sandboxes->config;
    struct events *events = calloc(1, sizeof *events);
    if (events == NULL) {
        err_set(err, ERR_INTERNAL, "events: out of memory");
        return NULL;
    }
    events->sandboxes = sandboxes;
    events_calls_init(&events->calls, events);
    events->policy = (struct target_policy){config->webhook_allowed, config->webhook_allowed_count};
    events->store = event_store_open(sandboxes->loop, config->database_url, err);
    const struct deliveries_options deliveries = {.loop = sandboxes->loop,
                                                  .store = events->store,
                                                  .policy = &events->policy,
                                                  .secret = view_of(config->agent_jwt_secret)};
    if (events->store == NULL || (events->deliveries = deliveries_open(&deliveries, err)) == NULL ||
        !timer_open(&events->look, sandboxes->loop, on_look, events, err) ||
        !timer_open(&events->clean, sandboxes->loop, on_clean, events, err)) {
        events_close(events);
        return NULL;
    }
    timer_arm(&events->look, 0);
    timer_arm(&events->clean, CLEAN_EVERY_MS);
    return events;
}

void events_drain(struct events *events)
{
    deliveries_stop(events->deliveries);
}

bool events_fail_all(struct events *events)
{
    return event_store_fail_all(events->store);
}

void events_close(struct events *events)
{
    if (events == NULL) {
        return;
    }
    event_store_close(events->store);
    deliveries_close(events->deliveries);
    timer_close(&events->look);
    timer_close(&events->clean);
    free(events);
}

struct event_store *events_store(const struct events *events)
{
    return events->store;
}

const struct sandboxes *events_sandboxes(const struct events *events)
{
    return events->sandboxes;
}

const struct target_policy *events_policy(const struct events *events)
{
    return &events->policy;
}

void events_look(struct events *events)
{
    deliveries_look(events->deliveries);
}

struct calls *events_calls(struct events *events)
{
    return &events->calls;
}

size_t events_open_requests(const struct events *events)
{
    return events->calls.open;
}
