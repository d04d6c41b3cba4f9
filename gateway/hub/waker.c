#include "gateway/hub/waker.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/contracts/life.h"
#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/gateway.h"
#include "gateway/hub/hub.h"

#include <stdlib.h>

enum {
    RESUME_TIMEOUT_MS = 60 * 1000,
    AGENT_TIMEOUT_MS = 10 * 1000, /* it has connected already, perhaps to another gateway */
    MESSAGE_MAX = 512,
};

struct waker {
    const struct gateway *gateway; /* borrowed */
    struct map by_id;
};

/* The row says whether it rests and whose it is; then it is resumed; then its agent comes. */
struct waking {
    struct map_node by_id;
    struct waker *waker; /* borrowed */
    struct list waits;
    struct sandbox_fetch *fetch;
    struct ipc_call *resume;
    struct hub_wait *agent;
    char sandbox_id[ID_SIZE];
};

static void forget(struct waking *waking)
{
    map_remove(&waking->waker->by_id, &waking->by_id);
    if (waking->fetch != NULL) {
        sandbox_fetch_cancel(waking->fetch);
    }
    if (waking->resume != NULL) {
        ipc_call_cancel(waking->resume);
    }
    if (waking->agent != NULL) {
        hub_wait_cancel(waking->agent);
    }
    free(waking);
}

/* The only way out of one that goes on. Whoever waits may begin another. */
static void finish(struct waking *waking, const struct err *err)
{
    struct list waits;
    struct list *node;
    list_init(&waits);
    list_append_all(&waits, &waking->waits);
    if (err != NULL) {
        log_info("waker.failed", LOG_STR("sandbox_id", waking->sandbox_id), LOG_ERR(err));
    } else {
        hub_set_awake(waking->waker->gateway->hub, waking->sandbox_id);
    }
    forget(waking);
    while ((node = list_pop(&waits)) != NULL) {
        struct waker_wait *wait = LIST_ENTRY(node, struct waker_wait, node);
        wait->done(err, wait->arg);
    }
}

static void on_agent(const struct err *err, void *arg)
{
    struct waking *waking = arg;
    waking->agent = NULL;
    finish(waking, err);
}

static void on_resumed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct waking *waking = arg;
    struct hub *hub = waking->waker->gateway->hub;
    struct err failure = {0};
    waking->resume = NULL;
    sandbox_cache_forget(waking->waker->gateway->sandboxes, waking->sandbox_id);
    if (err != NULL || hub_is_ready(hub, waking->sandbox_id)) {
        finish(waking, err);
        return;
    }
    waking->agent =
        hub_wait_begin(hub, waking->sandbox_id, AGENT_TIMEOUT_MS, on_agent, waking, &failure);
    if (waking->agent == NULL) {
        finish(waking, &failure);
    }
}

static void resume(struct waking *waking, const char user_id[ID_SIZE])
{
    struct err err = {0};
    struct sandbox_resume message = {.is_automatic = true};
    memcpy(message.sandbox_id, waking->sandbox_id, ID_SIZE);
    memcpy(message.user_id, user_id, ID_SIZE);
    AUTO(str_free) struct str body = STR_INIT(MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &sandbox_resume_schema, &message);
    json_end_object(&writer);
    const struct ipc_call_options options = {
        .method = SANDBOX_RESUME, .timeout_ms = RESUME_TIMEOUT_MS, .repeatable = true};
    if (str_check(&body, SANDBOX_RESUME, &err)) {
        waking->resume = ipc_call_begin(waking->waker->gateway->sandbox_service, &options,
                                        str_view(&body), on_resumed, waking, &err);
    }
    if (waking->resume == NULL) {
        finish(waking, &err);
    }
}

static void on_fetched(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    struct waking *waking = arg;
    struct err failure = {0};
    waking->fetch = NULL;
    if (err != NULL) {
        finish(waking, err);
    } else if (sandbox_status_is_resting(view_of(meta->status))) {
        resume(waking, meta->user_id);
    } else if (!meta->is_live) {
        err_set_reason(&failure, ERR_CONFLICT, "sandbox_ended", "the sandbox has ended");
        finish(waking, &failure);
    } else if (!hub_is_ready(waking->waker->gateway->hub, waking->sandbox_id)) {
        err_set_reason(&failure, ERR_UNAVAILABLE, "agent_lost", "no agent is connected");
        finish(waking, &failure);
    } else {
        finish(waking, NULL);
    }
}

static struct waking *add(struct waker *waker, const char sandbox_id[ID_SIZE], struct err *err)
{
    struct waking *waking = calloc(1, sizeof *waking);
    if (waking == NULL) {
        err_set(err, ERR_INTERNAL, "waker: out of memory");
        return NULL;
    }
    waking->waker = waker;
    memcpy(waking->sandbox_id, sandbox_id, ID_SIZE);
    list_init(&waking->waits);
    map_insert(&waker->by_id, &waking->by_id, view_of(waking->sandbox_id));
    waking->fetch =
        sandbox_fetch_begin(waker->gateway->sandboxes, sandbox_id, NULL, on_fetched, waking, err);
    if (waking->fetch == NULL) {
        forget(waking);
        return NULL;
    }
    return waking;
}

bool waker_wake(struct waker *waker, const char sandbox_id[ID_SIZE], struct waker_wait *wait,
                struct err *err)
{
    struct map_node *node = map_find(&waker->by_id, view_of(sandbox_id));
    struct waking *waking =
        node == NULL ? add(waker, sandbox_id, err) : MAP_ENTRY(node, struct waking, by_id);
    if (waking != NULL && wait != NULL) {
        list_append(&waking->waits, &wait->node);
    }
    return waking != NULL;
}

struct waker *waker_new(const struct gateway *gateway, struct err *err)
{
    struct waker *waker = calloc(1, sizeof *waker);
    if (waker == NULL || !map_init(&waker->by_id, err)) {
        if (waker == NULL) {
            err_set(err, ERR_INTERNAL, "waker: out of memory");
        }
        free(waker);
        return NULL;
    }
    waker->gateway = gateway;
    return waker;
}

static void forget_node(struct map_node *node, void *arg)
{
    (void)arg;
    forget(MAP_ENTRY(node, struct waking, by_id));
}

void waker_free(struct waker *waker)
{
    if (waker != NULL) {
        map_each(&waker->by_id, forget_node, NULL);
        map_free(&waker->by_id);
        free(waker);
    }
}
