#include "gateway/native/client_life.h"

#include "common/base/log.h"
#include "common/contracts/life.h"
#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/cache/activity.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/gateway.h"

enum { RESUME_TIMEOUT_MS = 60 * 1000, MESSAGE_MAX = 512 };

static void on_resumed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct client_life *life = arg;
    life->resume = NULL;
    if (err == NULL) {
        life->is_resting = false; /* the news of it may come later */
    } else {
        log_info("client.not_resumed", LOG_ERR(err)); /* the next message tries again */
    }
}

static void resume(struct client_life *life, const struct gateway *gateway,
                   const char sandbox_id[ID_SIZE], const char user_id[ID_SIZE])
{
    struct err err = {0};
    struct sandbox_resume message = {.is_automatic = true};
    memcpy(message.sandbox_id, sandbox_id, ID_SIZE);
    memcpy(message.user_id, user_id, ID_SIZE);
    AUTO(str_free) struct str body = STR_INIT(MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &sandbox_resume_schema, &message);
    json_end_object(&writer);
    const struct ipc_call_options options = {
        .method = SANDBOX_RESUME, .timeout_ms = RESUME_TIMEOUT_MS, .repeatable = true};
    if (str_check(&body, "sandbox.resume", &err)) {
        life->resume = ipc_call_begin(gateway->sandbox_service, &options, str_view(&body),
                                      on_resumed, life, &err);
    }
    if (life->resume == NULL) {
        log_warn("client.not_resumed", LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
    }
}

void client_life_on_message(struct client_life *life, const struct gateway *gateway,
                            const char sandbox_id[ID_SIZE], const char user_id[ID_SIZE])
{
    activity_note(gateway->activity, sandbox_id, ACTIVITY_MESSAGES);
    if (life->is_resting && life->resume == NULL) {
        resume(life, gateway, sandbox_id, user_id);
    }
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
    if (life->resume != NULL) {
        ipc_call_cancel(life->resume);
        life->resume = NULL;
    }
}
