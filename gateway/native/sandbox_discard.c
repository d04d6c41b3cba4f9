#include "gateway/native/sandbox_discard.h"

#include "common/base/log.h"
#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"

#include <stdio.h>

enum { DESTROY_TIMEOUT_MS = 60 * 1000 };

static void on_destroyed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    (void)arg;
    /* Not found: there was nothing to undo. Else it ends when its time is over. */
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        log_warn("create.undo_failed", LOG_ERR(err));
    }
}

void sandbox_discard(struct request *request, const char sandbox_id[ID_SIZE])
{
    struct err err = {0};
    char body[2 * ID_SIZE + 40];
    int length = snprintf(body, sizeof body, "{\"sandboxId\":\"%s\",\"userId\":\"%s\"}", sandbox_id,
                          request->caller.user_id);
    const struct ipc_call_options options = {.method = SANDBOX_DESTROY,
                                             .trace = &request->trace,
                                             .actor = request_actor(request),
                                             .timeout_ms = DESTROY_TIMEOUT_MS,
                                             .repeatable = true};
    if (ipc_call_begin(request->gateway->sandbox_service, &options,
                       (struct view){body, (size_t)length}, on_destroyed, NULL, &err) == NULL) {
        log_warn("create.undo_failed", LOG_TRACE(&request->trace),
                 LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
    }
}
