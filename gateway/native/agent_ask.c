#include "gateway/native/agent_ask.h"

#include "common/contracts/agent.h"
#include "common/json/scan.h"
#include "gateway/native/agent_errors.h"

bool agent_message(struct str *message, struct hub_message *out, struct err *err)
{
    if (!str_check(message, "message to the agent", err)) {
        return false;
    }
    /* The id goes in front: the opening brace becomes the comma behind it. */
    message->data[0] = ',';
    *out = (struct hub_message){VIEW("{"), str_view(message)};
    return true;
}

static void copy_member(const struct json_member *member, void *arg)
{
    struct str *out = arg;
    if (view_equal(member->name, VIEW("id")) || view_equal(member->name, VIEW("type")) ||
        view_equal(member->name, VIEW("streamId"))) {
        return;
    }
    if (out->len > 0 && out->data[out->len - 1] != '{') {
        str_append_char(out, ',');
    }
    str_append_view(out, member->whole);
}

bool agent_copy_members(struct view text, struct str *out, struct err *err)
{
    size_t before = out->len;
    if (!json_scan(text, copy_member, out, err)) {
        return false;
    }
    /* Line ends in JSON text are blanks. */
    for (size_t i = before; i < out->len; i++) {
        if (out->data[i] == '\n' || out->data[i] == '\r') {
            out->data[i] = ' ';
        }
    }
    return true;
}

bool agent_is_there(const struct request *request, struct err *err)
{
    if (strcmp(request->sandbox.status, "creating") == 0 &&
        !hub_is_ready(request->gateway->hub, request->id)) {
        return err_set_reason(err, ERR_CONFLICT, "sandbox_starting", "it is being created");
    }
    return request->sandbox.is_live ||
           err_set_reason(err, ERR_CONFLICT, "sandbox_ended", "The sandbox has ended (%s).",
                          request->sandbox.end_reason);
}

bool agent_replied(struct request *request, const struct hub_reply *reply, const struct err *err)
{
    struct err failure = {0};
    if (err != NULL) {
        request_fail(request, err);
        return false;
    }
    if (view_equal(reply->type, VIEW("error"))) {
        agent_error_read(reply->text, &failure);
        request_fail(request, &failure);
        return false;
    }
    return true;
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    request->hub_call = NULL;
    if (!agent_replied(request, reply, err)) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(AGENT_MESSAGE_MAX);
    str_append_char(&out, '{');
    if (!agent_copy_members(reply->text, &out, &failure)) {
        request_fail(request, &failure);
        return;
    }
    str_append_char(&out, '}');
    request_respond_json(request, 200, &out);
}

void agent_ask(struct request *request, struct str *message, int64_t timeout_ms)
{
    struct err err = {0};
    struct hub_message parts;
    if (agent_message(message, &parts, &err)) {
        request->hub_call = hub_call_begin(request->gateway->hub, request->id, &parts, timeout_ms,
                                           on_reply, request, &err);
    }
    if (request->hub_call == NULL) {
        request_fail(request, &err);
    }
}
