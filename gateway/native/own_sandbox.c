#include "gateway/native/own_sandbox.h"

#include "common/base/log.h"
#include "common/contracts/life.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/native/making.h"
#include "gateway/native/sandbox_discard.h"

enum {
    LIFE_MS = 3 * 60 * 1000, /* behind the last sign of this gateway's life */
    SIGN_MS = 30 * 1000,
    DESTROY_TIMEOUT_MS = 20 * 1000,
    MESSAGE_MAX = 512,
};

/* NULL: it can't begin. */
static struct ipc_call *ask(struct own_sandbox *own, const char *method, int64_t timeout_ms,
                            const struct json_schema *schema, const void *message,
                            ipc_reply_fn *done)
{
    struct err err = {0};
    struct request *request = own->request;
    AUTO(str_free) struct str text = STR_INIT(MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    json_struct(&writer, schema, message);
    json_end_object(&writer);
    const struct ipc_call_options options = {.method = method,
                                             .trace = &request->trace,
                                             .actor = request_actor(request),
                                             .timeout_ms = timeout_ms};
    struct ipc_call *call = str_check(&text, method, &err)
                                ? ipc_call_begin(request->gateway->sandbox_service, &options,
                                                 str_view(&text), done, own, &err)
                                : NULL;
    if (call == NULL) {
        log_debug("own_sandbox.not_asked", LOG_STR("method", method), LOG_ERR(&err));
    }
    return call;
}

static void on_lasting(const struct view *body, const struct err *err, void *arg)
{
    struct own_sandbox *own = arg;
    (void)body;
    own->lasting = NULL;
    if (err != NULL) { /* there is time for the next, or it has ended: then its work does too */
        log_debug("own_sandbox.not_lasting", LOG_STR("sandbox_id", own->id), LOG_ERR(err));
    }
}

static void on_sign(void *arg)
{
    struct own_sandbox *own = arg;
    struct sandbox_times message = {.timeout_ms = LIFE_MS, .idle_timeout_ms = -1};
    memcpy(message.sandbox_id, own->id, ID_SIZE);
    memcpy(message.user_id, own->request->caller.user_id, ID_SIZE);
    timer_arm(&own->sign, SIGN_MS);
    if (own->lasting == NULL) {
        own->lasting =
            ask(own, SANDBOX_TIMES, SIGN_MS, &sandbox_times_schema, &message, on_lasting);
    }
}

static void end_signs(struct own_sandbox *own)
{
    timer_close(&own->sign);
    if (own->lasting != NULL) {
        ipc_call_cancel(TAKE(own->lasting));
    }
}

static void on_made(const struct sandbox_meta *sandbox, const struct err *err, void *arg)
{
    struct own_sandbox *own = arg;
    own->making = NULL;
    own->is_there = err == NULL;
    if (err == NULL) {
        memcpy(own->id, sandbox->id, ID_SIZE);
        timer_arm(&own->sign, SIGN_MS);
    }
    own->done(err, own->arg);
}

bool own_sandbox_begin(struct own_sandbox *own, struct request *request,
                       struct sandbox_create *wanted, own_sandbox_fn *done, void *arg,
                       struct err *err)
{
    *own = (struct own_sandbox){.request = request, .done = done, .arg = arg};
    if (!id_new(own->id, err) ||
        !timer_open(&own->sign, request->gateway->loop, on_sign, own, err)) {
        return false;
    }
    wanted->timeout_ms = LIFE_MS;
    memcpy(wanted->sandbox_id, own->id, ID_SIZE);
    memcpy(wanted->user_id, request->caller.user_id, ID_SIZE);
    memcpy(wanted->api_key_id, request->caller.api_key_id, ID_SIZE);
    own->making = making_begin(request, wanted, on_made, own, err);
    return own->making != NULL;
}

static void on_destroyed(const struct view *body, const struct err *err, void *arg)
{
    struct own_sandbox *own = arg;
    (void)body;
    own->closing = NULL;
    own->is_there = err != NULL && err->code != ERR_NOT_FOUND;
    own->done(err, own->arg);
}

bool own_sandbox_close(struct own_sandbox *own, own_sandbox_fn *done, void *arg)
{
    struct sandbox_destroy message = {.waits = true};
    memcpy(message.sandbox_id, own->id, ID_SIZE);
    memcpy(message.user_id, own->request->caller.user_id, ID_SIZE);
    end_signs(own);
    own->done = done;
    own->arg = arg;
    own->closing = ask(own, SANDBOX_DESTROY, DESTROY_TIMEOUT_MS, &sandbox_destroy_schema, &message,
                       on_destroyed);
    return own->closing != NULL;
}

void own_sandbox_end(struct own_sandbox *own)
{
    bool may_come = own->making != NULL;
    end_signs(own);
    if (may_come) {
        making_cancel(TAKE(own->making));
    }
    if (own->closing != NULL) {
        ipc_call_cancel(TAKE(own->closing));
    }
    if (may_come || own->is_there) {
        own->is_there = false;
        sandbox_discard(own->request, own->id);
    }
}
