#include "gateway/native/health.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contracts/auth.h"
#include "common/contracts/sandbox.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/native/routes.h"

#include <stdlib.h>

enum {
    ASK_TIMEOUT_MS = 900, /* within the second */
    HEALTH_BODY_MAX = 1024,
};

/* What is known of one service; a silent one answers nothing well. */
struct answer {
    struct ipc_call *call; /* NULL while none is in flight */
    bool answered;
};

struct health {
    const struct gateway *gateway; /* borrowed */
    struct timer timer;
    struct answer auth;
    struct answer sandbox;
    struct auth_health auth_says;
    struct sandbox_health sandbox_says;
    struct str body; /* of the answer, made anew when all that was asked is answered */
    bool ok;
};

static void write_body(struct health *health)
{
    char now[CLOCK_ISO_SIZE];
    clock_format_iso(clock_wall_ms(), now);
    const bool auth = health->auth.answered;
    const bool sandbox = health->sandbox.answered;
    const struct {
        const char *name;
        bool up;
    } services[] = {
        {"postgres",
         auth && health->auth_says.postgres && (!sandbox || health->sandbox_says.postgres)},
        {"redis", auth && health->auth_says.redis && (!sandbox || health->sandbox_says.redis)},
        {"docker", sandbox && health->sandbox_says.docker},
        {"auth", auth},
        {"sandbox", sandbox},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        ok = ok && services[i].up;
    }
    str_clear(&health->body);
    struct json_writer writer = json_writer_on(&health->body);
    json_begin_object(&writer, NULL);
    json_string(&writer, "status", ok ? VIEW("ok") : VIEW("degraded"));
    json_string(&writer, "timestamp", view_of(now));
    json_begin_object(&writer, "services");
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        json_bool(&writer, services[i].name, services[i].up);
    }
    json_end_object(&writer);
    json_end_object(&writer);
    if (ok != health->ok) {
        log_info("health.changed", LOG_STR("status", ok ? "ok" : "degraded"));
    }
    health->ok = ok;
}

static bool read_answer(const struct view *body, const struct json_schema *schema, void *out)
{
    struct err err = {0};
    struct json_doc *doc = json_read(*body, schema, out, NULL, &err);
    bool readable = doc != NULL;
    json_doc_free(doc);
    return readable;
}

static void on_auth_reply(const struct view *body, const struct err *err, void *arg)
{
    struct health *health = arg;
    health->auth.call = NULL;
    health->auth.answered =
        err == NULL && read_answer(body, &auth_health_schema, &health->auth_says);
    write_body(health);
}

static void on_sandbox_reply(const struct view *body, const struct err *err, void *arg)
{
    struct health *health = arg;
    health->sandbox.call = NULL;
    health->sandbox.answered =
        err == NULL && read_answer(body, &sandbox_health_schema, &health->sandbox_says);
    write_body(health);
}

static void ask(struct health *health, struct answer *answer, struct ipc_client *service,
                const char *method, ipc_reply_fn *on_reply)
{
    const struct ipc_call_options options = {.method = method, .timeout_ms = ASK_TIMEOUT_MS};
    struct err err = {0};
    if (answer->call != NULL) {
        return;
    }
    answer->call = ipc_call_begin(service, &options, VIEW("{}"), on_reply, health, &err);
    if (answer->call == NULL) {
        answer->answered = false;
        write_body(health);
    }
}

static void on_due(void *arg)
{
    struct health *health = arg;
    ask(health, &health->auth, health->gateway->auth_service, AUTH_HEALTH, on_auth_reply);
    ask(health, &health->sandbox, health->gateway->sandbox_service, SANDBOX_HEALTH,
        on_sandbox_reply);
    timer_arm(&health->timer, HEALTH_EVERY_MS);
}

struct health *health_open(const struct gateway *gateway, struct err *err)
{
    struct health *health = calloc(1, sizeof *health);
    if (health == NULL) {
        err_set(err, ERR_INTERNAL, "health: out of memory");
        return NULL;
    }
    health->gateway = gateway;
    health->body = STR_INIT(HEALTH_BODY_MAX);
    if (!timer_open(&health->timer, gateway->loop, on_due, health, err)) {
        health_close(health);
        return NULL;
    }
    write_body(health);
    on_due(health);
    return health;
}

void health_close(struct health *health)
{
    if (health == NULL) {
        return;
    }
    if (health->auth.call != NULL) {
        ipc_call_cancel(health->auth.call);
    }
    if (health->sandbox.call != NULL) {
        ipc_call_cancel(health->sandbox.call);
    }
    timer_close(&health->timer);
    str_free(&health->body);
    free(health);
}

void health_show(struct request *request)
{
    const struct health *health = request->gateway->health;
    request_respond_json(request, health->ok ? 200 : 503, &health->body);
}
