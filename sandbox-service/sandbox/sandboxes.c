#include "sandbox-service/sandbox/sandboxes.h"

#include "common/base/log.h"
#include "common/contracts/invalidation.h"
#include "common/redis/redis.h"
#include "sandbox-service/events/events.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    REDIS_TIMEOUT_MS = 1000,
    NUMBER_SIZE = 24,
    LOCATION_LIFE_S = 24 * 3600, /* what nobody removed goes away */
};

static_assert(sizeof((struct sandboxes *)0)->channel >= INVALIDATION_CHANNEL_SIZE, "channel");

bool sandboxes_init(struct sandboxes *sandboxes, struct err *err)
{
    list_init(&sandboxes->removals_waiting);
    return map_init(&sandboxes->creating, err) && map_init(&sandboxes->removing, err) &&
           invalidation_channel(sandboxes->config->instance, sandboxes->channel, err);
}

void sandboxes_clear(struct sandboxes *sandboxes)
{
    map_free(&sandboxes->creating);
    map_free(&sandboxes->removing);
}

static void tell_redis(struct sandboxes *sandboxes, const struct view *words, size_t count,
                       const char sandbox_id[ID_SIZE])
{
    struct err err = {0};
    if (!redis_send(sandboxes->redis, words, count, REDIS_TIMEOUT_MS, NULL, NULL, &err)) {
        log_debug("sandbox.not_told", LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
    }
}

void sandboxes_publish(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE])
{
    char message[INVALIDATION_MESSAGE_SIZE];
    invalidation_write(INVALIDATE_SANDBOX, sandbox_id, message);
    const struct view words[] = {VIEW("PUBLISH"), view_of(sandboxes->channel), view_of(message)};
    tell_redis(sandboxes, words, sizeof words / sizeof words[0], sandbox_id);
    events_hurry(sandboxes->events);
}

void sandboxes_location_key(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                            char out[SANDBOX_KEY_SIZE])
{
    (void)snprintf(out, SANDBOX_KEY_SIZE, "insien:%s:agent:%s", sandboxes->config->instance,
                   sandbox_id);
}

void sandboxes_ports_key(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                         char out[SANDBOX_KEY_SIZE])
{
    (void)snprintf(out, SANDBOX_KEY_SIZE, "insien:%s:ports:%s", sandboxes->config->instance,
                   sandbox_id);
}

void sandboxes_locate(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                      const char *gateway_id)
{
    char key[SANDBOX_KEY_SIZE];
    char life[16];
    sandboxes_location_key(sandboxes, sandbox_id, key);
    (void)snprintf(life, sizeof life, "%d", LOCATION_LIFE_S);
    if (gateway_id == NULL) {
        const struct view words[] = {VIEW("DEL"), view_of(key)};
        tell_redis(sandboxes, words, sizeof words / sizeof words[0], sandbox_id);
        return;
    }
    const struct view words[] = {VIEW("SET"), view_of(key), view_of(gateway_id), VIEW("EX"),
                                 view_of(life)};
    tell_redis(sandboxes, words, sizeof words / sizeof words[0], sandbox_id);
}

void sandboxes_tell_disk(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                         int64_t written_bytes, int64_t life_s)
{
    char key[SANDBOX_KEY_SIZE];
    char bytes[NUMBER_SIZE];
    char life[NUMBER_SIZE];
    (void)snprintf(key, sizeof key, "insien:%s:disk:%s", sandboxes->config->instance, sandbox_id);
    (void)snprintf(bytes, sizeof bytes, "%" PRId64, written_bytes);
    (void)snprintf(life, sizeof life, "%" PRId64, life_s);
    const struct view words[] = {VIEW("SET"), view_of(key), view_of(bytes), VIEW("EX"),
                                 view_of(life)};
    tell_redis(sandboxes, words, sizeof words / sizeof words[0], sandbox_id);
}
