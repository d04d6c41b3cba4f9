#include "sandbox-service/call.h"

#include "common/base/log.h"
#include "common/json/write.h"

#include <stdlib.h>

enum {
    ENVELOPE_ROOM = 64 * 1024,
    ANSWER_MAX = IPC_MESSAGE_MAX - ENVELOPE_ROOM,
};

static void release(struct call *call)
{
    struct calls *calls = call->calls;
    if (calls->release != NULL) {
        calls->release(call);
    }
    json_doc_free(call->doc);
    free(call);
    calls->open--;
}

static bool read_body(const struct calls *calls, const struct ipc_request *message,
                      const struct json_schema *schema, void *body, struct json_doc **doc,
                      struct err *err)
{
    if (schema == NULL) {
        return true;
    }
    *doc = json_read(message->body, schema, body, NULL, err);
    if (calls->are_secret) {
        json_doc_mark_secret(*doc);
    }
    return *doc != NULL;
}

void *call_begin(struct calls *calls, struct ipc_exchange *exchange,
                 const struct ipc_request *message, const struct json_schema *schema, void *body)
{
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    bool is_read = read_body(calls, message, schema, body, &doc, &err);
    struct call *call = is_read ? calloc(1, calls->size) : NULL;
    if (call == NULL) {
        if (is_read) {
            err_set(&err, ERR_INTERNAL, "call: out of memory");
        }
        log_warn("ipc.unreadable", LOG_STR("method", message->method), LOG_TRACE(&message->trace),
                 LOG_ERR(&err));
        ipc_reply_error(exchange, &err);
        return NULL;
    }
    call->calls = calls;
    call->exchange = exchange;
    call->message = message;
    call->doc = TAKE(doc);
    calls->open++;
    return call;
}

bool call_begin_act(struct call *call, const struct call_act *act)
{
    struct err err = {0};
    call_set_target(call, act->target);
    call->act = audit_act_begin_by(call->calls->audit, act->action, call->calls->target_kind,
                                   &call->message->actor, call->message->trace.request_id, &err);
    if (call->act == NULL) {
        call_fail(call, &err);
        return false;
    }
    struct audit_record *record = audit_act_record(call->act);
    memcpy(record->actor_user, act->user_id, ID_SIZE);
    if (act->key_id != NULL) {
        memcpy(record->actor_key, act->key_id, ID_SIZE);
    }
    return true;
}

void call_set_target(struct call *call, struct view target)
{
    audit_text_set(call->target, sizeof call->target, target);
}

void call_forget_act(struct call *call)
{
    audit_act_cancel(TAKE(call->act));
}

void call_finish(struct call *call, struct view body)
{
    audit_act_end_with(call->act, call->target, NULL);
    ipc_reply_ok(call->exchange, body);
    release(call);
}

void call_finish_empty(struct call *call)
{
    call_finish(call, VIEW("{}"));
}

void call_finish_text(struct call *call, const struct str *body)
{
    struct err err = {0};
    if (str_check(body, "the answer", &err)) {
        call_finish(call, str_view(body));
    } else {
        call_fail(call, &err);
    }
}

void call_finish_with(struct call *call, const struct json_schema *schema, const void *answer)
{
    AUTO(str_free) struct str body = STR_SECRET(ANSWER_MAX);
    struct json_writer json = json_writer_on(&body);
    json_begin_object(&json, NULL);
    json_struct(&json, schema, answer);
    json_end_object(&json);
    call_finish_text(call, &body);
}

void call_fail(struct call *call, const struct err *err)
{
    audit_act_end_with(call->act, call->target, err);
    ipc_reply_error(call->exchange, err);
    release(call);
}

void call_fail_with(struct call *call, enum err_code code, const char *reason, const char *message)
{
    struct err err = {0};
    err_set_reason(&err, code, reason, "%s", message);
    call_fail(call, &err);
}
