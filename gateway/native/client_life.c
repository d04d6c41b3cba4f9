#include "gateway/native/client_life.h"

#include "common/base/log.h"
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/cache/activity.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/gateway.h"
#include "gateway/hub/hub.h"
#include "gateway/native/client_relay.h"

void client_life_begin(struct client_life *life)
{
    list_init(&life->held);
}

static void on_woken(const struct err *err, void *arg)
{
    struct client_life *life = arg;
    struct list *node;
    life->is_waking = false;
    if (err == NULL) {
        life->is_resting = false; /* the news of it may come later */
    } else {
        life->refusal = *err; /* the next message tries again */
    }
    while ((node = list_pop(&life->held)) != NULL) {
        struct client_relay *relay = LIST_ENTRY(node, struct client_relay, held);
        relay->refusal = err == NULL ? NULL : &life->refusal;
        ws_resume(relay->socket);
    }
}

static void wake(struct client_life *life, const struct gateway *gateway, const char *sandbox_id)
{
    struct err err = {0};
    life->wait.done = on_woken;
    life->wait.arg = life;
    life->is_waking = hub_wake(gateway->hub, sandbox_id, &life->wait, &err);
    if (!life->is_waking) {
        log_warn("client.not_resumed", LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
    }
}

bool client_life_on_message(struct client_life *life, const struct gateway *gateway,
                            struct client_relay *relay)
{
    if (relay->refusal != NULL) {
        return true;
    }
    activity_note(gateway->activity, relay->sandbox_id, ACTIVITY_MESSAGES);
    if (life->is_resting && !life->is_waking) {
        wake(life, gateway, relay->sandbox_id);
    }
    if (life->is_waking) {
        list_append(&life->held, &relay->held);
        ws_pause(relay->socket);
    }
    return !life->is_waking;
}

bool client_life_learn(struct client_life *life, const struct sandbox_meta *meta, struct str *news)
{
    life->is_resting = sandbox_status_is_resting(view_of(meta->status));
    if (meta->warned_of[0] == '\0' || strcmp(meta->warned_of, life->warned_of) == 0) {
        return false;
    }
    memcpy(life->warned_of, meta->warned_of, sizeof life->warned_of);
    struct json_writer writer = json_writer_on(news);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("expiring"));
    json_string(&writer, "endsAt", view_of(meta->warned_of));
    json_string(&writer, "reason",
                strcmp(meta->warned_of, meta->expires_at) == 0 ? VIEW("timeout") : VIEW("idle"));
    json_end_object(&writer);
    return !news->failed;
}

void client_life_end(struct client_life *life)
{
    list_remove(&life->wait.node);
}
