#include "auth-service/call.h"

#include "common/base/secret.h"
#include "common/json/write.h"

#include <stdlib.h>

static void release(struct call *call)
{
    struct service *service = call->service;
    json_doc_free(call->doc);
    secret_wipe(call, call->size);
    free(call);
    service->open_calls--;
    if (service->open_calls == 0 && service->on_drained != NULL) {
        service_drained_fn *on_drained = TAKE(service->on_drained);
        on_drained(service->drained_arg);
    }
}

static bool read_body(struct call *call, const struct call_shape *shape, struct err *err)
{
    if (call->service->draining) {
        return err_set_reason(err, ERR_UNAVAILABLE, "shutting_down", "auth-service is stopping");
    }
    call->doc =
        json_read(call->request->body, shape->schema, (char *)call + shape->body_offset, NULL, err);
    return call->doc != NULL;
}

void *call_begin(struct service *service, struct ipc_exchange *exchange,
                 const struct ipc_request *request, const struct call_shape *shape)
{
    struct err err;
    struct call *call = calloc(1, shape->size);
    if (call == NULL) {
        err_set(&err, ERR_INTERNAL, "%s: out of memory", request->method);
        ipc_reply_error(exchange, &err);
        return NULL;
    }
    call->service = service;
    call->exchange = exchange;
    call->request = request;
    call->size = shape->size;
    service->open_calls++;
    if (!read_body(call, shape, &err)) {
        call_fail(call, &err);
        return NULL;
    }
    return call;
}

int64_t call_timeout_ms(const struct call *call)
{
    return ipc_exchange_remaining_ms(call->exchange);
}

void call_succeed(struct call *call, const struct json_schema *schema, const void *value)
{
    struct str text = STR_INIT(IPC_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&text);
    struct err err;
    json_begin_object(&writer, NULL);
    json_struct(&writer, schema, value);
    json_end_object(&writer);
    if (str_check(&text, "reply", &err)) {
        ipc_reply_ok(call->exchange, str_view(&text));
    } else {
        ipc_reply_error(call->exchange, &err);
    }
    if (text.data != NULL) {
        secret_wipe(text.data, text.len); /* it may hold a new key */
    }
    str_free(&text);
    release(call);
}

void call_fail(struct call *call, const struct err *err)
{
    ipc_reply_error(call->exchange, err);
    release(call);
}
