#include "gateway/native/own_sandbox.h"

#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/native/making.h"
#include "gateway/native/sandbox_discard.h"

enum {
    DESTROY_TIMEOUT_MS = 20 * 1000,
    MESSAGE_MAX = 512,
};

static void on_made(const struct sandbox_meta *sandbox, const struct err *err, void *arg)
{
    struct own_sandbox *own = arg;
    own->making = NULL;
    own->is_there = err == NULL;
    if (err == NULL) {
        memcpy(own->id, sandbox->id, ID_SIZE);
    }
    own->done(err, own->arg);
}

bool own_sandbox_begin(struct own_sandbox *own, struct request *request,
                       struct sandbox_create *wanted, own_sandbox_fn *done, void *arg,
                       struct err *err)
{
    *own = (struct own_sandbox){.request = request, .done = done, .arg = arg};
    if (!id_new(own->id, err)) {
        return false;
    }
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
    struct err ignored = {0};
    struct request *request = own->request;
    struct sandbox_destroy message = {.waits = true};
    memcpy(message.sandbox_id, own->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    AUTO(str_free) struct str text = STR_INIT(MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &sandbox_destroy_schema, &message);
    json_end_object(&writer);
    const struct ipc_call_options options = {.method = SANDBOX_DESTROY,
                                             .trace = &request->trace,
                                             .actor = request_actor(request),
                                             .timeout_ms = DESTROY_TIMEOUT_MS};
    own->done = done;
    own->arg = arg;
    own->closing = str_check(&text, "sandbox.destroy", &ignored)
                       ? ipc_call_begin(request->gateway->sandbox_service, &options,
                                        str_view(&text), on_destroyed, own, &ignored)
                       : NULL;
    return own->closing != NULL;
}

void own_sandbox_end(struct own_sandbox *own)
{
    bool may_come = own->making != NULL;
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
