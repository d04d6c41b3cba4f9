#include "gateway/cache/invalidation.h"

#include "common/base/log.h"
#include "common/contracts/invalidation.h"
#include "common/redis/redis.h"
#include "gateway/cache/key_cache.h"
#include "gateway/cache/key_recheck.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/native/client_socket.h"
#include "gateway/native/event_readers.h"
#include "gateway/native/request.h"
#include "gateway/ports/exposed.h"
#include "gateway/ports/host_ports.h"
#include "gateway/preview/preview.h"

#include <stdlib.h>

struct invalidation {
    const struct gateway *gateway; /* borrowed */
    struct redis_subscription *subscription;
    struct key_recheck *key_recheck;
};

/* Those of a key, a user or a session: what they opened before ends. */
static void refuse_callers(const struct gateway *gateway, const char *id)
{
    client_sockets_revoke(gateway->client_sockets, id);
    requests_revoke(gateway->requests, id);
}

/* Any sandbox may have changed. */
static void look_at_sandboxes(const struct gateway *gateway)
{
    host_ports_check_all(gateway->host_ports);
    preview_check_all(gateway->preview);
    hub_check_all(gateway->hub);
    client_sockets_recheck_all(gateway->client_sockets);
    event_readers_wake_all(gateway->event_readers);
}

static void forget_sandboxes(const struct gateway *gateway)
{
    sandbox_cache_set_trusted(gateway->sandboxes, false);
    sandbox_cache_set_trusted(gateway->sandboxes, true);
    exposed_set_trusted(gateway->exposed, false);
    exposed_set_trusted(gateway->exposed, true);
    look_at_sandboxes(gateway);
}

static void on_message(struct view message, void *arg)
{
    const struct invalidation *invalidation = arg;
    const struct gateway *gateway = invalidation->gateway;
    enum invalidation_kind kind;
    char id[INVALIDATION_ID_SIZE];
    if (!invalidation_read(message, &kind, id)) {
        log_warn("invalidation.unreadable", LOG_VIEW("message", message));
        return;
    }
    switch (kind) {
    case INVALIDATE_KEY:
        key_cache_forget_key(gateway->keys, id);
        refuse_callers(gateway, id);
        break;
    case INVALIDATE_USER:
        key_cache_forget_user(gateway->keys, id);
        refuse_callers(gateway, id);
        break;
    case INVALIDATE_SANDBOX:
        sandbox_cache_forget(gateway->sandboxes, id);
        exposed_forget(gateway->exposed, id);
        host_ports_check(gateway->host_ports, id);
        preview_check(gateway->preview, id);
        hub_check(gateway->hub, id);
        client_sockets_recheck(gateway->client_sockets, id);
        break;
    case INVALIDATE_ACCOUNT:
        key_cache_forget_user(gateway->keys, id);
        break;
    case INVALIDATE_SESSION:
        key_cache_forget_session(gateway->keys, id);
        refuse_callers(gateway, id);
        break;
    case INVALIDATE_EVENTS:
        event_readers_wake(gateway->event_readers, id);
        break;
    case INVALIDATE_SANDBOXES:
        forget_sandboxes(gateway);
        break;
    }
}

static void on_state(bool subscribed, void *arg)
{
    const struct invalidation *invalidation = arg;
    log_info("invalidation.state", LOG_INT("subscribed", subscribed));
    key_cache_set_trusted(invalidation->gateway->keys, subscribed);
    sandbox_cache_set_trusted(invalidation->gateway->sandboxes, subscribed);
    exposed_set_trusted(invalidation->gateway->exposed, subscribed);
    event_readers_set_told(invalidation->gateway->event_readers, subscribed);
    if (subscribed) {
        key_recheck_begin(invalidation->key_recheck);
        look_at_sandboxes(invalidation->gateway);
        client_sockets_recheck_sessions(invalidation->gateway->client_sockets);
    } else {
        key_recheck_stop(invalidation->key_recheck);
    }
}

struct invalidation *invalidation_open(const struct gateway *gateway, struct err *err)
{
    static const struct redis_subscriber subscriber = {on_message, on_state};
    char channel[INVALIDATION_CHANNEL_SIZE];
    if (!invalidation_channel(gateway->config->instance, channel, err)) {
        return NULL;
    }
    struct invalidation *invalidation = calloc(1, sizeof *invalidation);
    if (invalidation == NULL) {
        err_set(err, ERR_INTERNAL, "invalidation: out of memory");
        return NULL;
    }
    invalidation->gateway = gateway;
    invalidation->key_recheck = key_recheck_new(gateway, KEY_RECHECK_EVERY_MS, err);
    if (invalidation->key_recheck == NULL) {
        invalidation_close(invalidation);
        return NULL;
    }
    invalidation->subscription = redis_subscribe(gateway->loop, gateway->config->redis_url, channel,
                                                 &subscriber, invalidation, err);
    if (invalidation->subscription == NULL) {
        invalidation_close(invalidation);
        return NULL;
    }
    return invalidation;
}

void invalidation_close(struct invalidation *invalidation)
{
    if (invalidation == NULL) {
        return;
    }
    if (invalidation->subscription != NULL) {
        redis_unsubscribe(invalidation->subscription);
    }
    key_recheck_free(invalidation->key_recheck);
    free(invalidation);
}
