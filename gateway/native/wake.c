#include "gateway/native/wake.h"

#include "common/contracts/auth.h"
#include "common/contracts/life.h"
#include "common/contracts/sandbox.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdio.h>

enum {
    RESUME_TIMEOUT_MS = 60 * 1000,
    AGENT_TIMEOUT_MS = 10 * 1000, /* it has connected already, perhaps to another gateway */
};

bool wake_is_for_agent(const struct request *request)
{
    const struct route *route = request->route;
    return (route->scope & (AUTH_EXEC | AUTH_FILES)) != 0 || (route->needs & ROUTE_SOCKET) != 0;
}

bool wake_is_needed(const struct request *request)
{
    return wake_is_for_agent(request) &&
           sandbox_status_is_resting(view_of(request->sandbox.status));
}

static void on_agent_ready(const struct err *err, void *arg)
{
    struct request *request = arg;
    request->hub_wait = NULL;
    if (err != NULL) {
        request_fail(request, err);
    } else {
        request->when_awake(request);
    }
}

static void on_resumed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    struct hub *hub = request->gateway->hub;
    struct err failure = {0};
    sandbox_cache_forget(request->gateway->sandboxes, request->id);
    if (!service_answered(request, err)) {
        return;
    }
    (void)snprintf(request->sandbox.status, sizeof request->sandbox.status, "running");
    if (hub_is_ready(hub, request->id)) {
        request->when_awake(request);
        return;
    }
    request->hub_wait =
        hub_wait_begin(hub, request->id, AGENT_TIMEOUT_MS, on_agent_ready, request, &failure);
    if (request->hub_wait == NULL) {
        request_fail(request, &failure);
    }
}

void wake_begin(struct request *request, request_handler_fn *next)
{
    struct sandbox_resume message = {.is_automatic = true};
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->sandbox.user_id, ID_SIZE);
    request->when_awake = next;
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = SANDBOX_RESUME,
        .timeout_ms = RESUME_TIMEOUT_MS,
        .repeatable = true,
        .schema = &sandbox_resume_schema,
        .message = &message,
    };
    service_ask(request, &question, on_resumed);
}
