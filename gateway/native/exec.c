/* POST /sandbox/{id}/exec: one command, its whole output, one answer. */
#include "common/contracts/agent.h"
#include "common/json/scan.h"
#include "common/json/write.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/routes.h"

enum {
    MESSAGE_MAX = 2 * JSON_BODY_MAX,
};

/* The members of the agent's answer that the client sees: all but id and type. */
static void copy_member(const struct json_member *member, void *arg)
{
    struct str *out = arg;
    if (view_equal(member->name, VIEW("id")) || view_equal(member->name, VIEW("type"))) {
        return;
    }
    str_append_char(out, out->len == 0 ? '{' : ',');
    str_append_view(out, member->whole);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    AUTO(str_free) struct str out = STR_INIT(AGENT_MESSAGE_MAX);
    request->hub_call = NULL;
    if (err != NULL) {
        request_fail(request, err);
        return;
    }
    if (!view_equal(reply->type, VIEW("execResponse"))) {
        agent_error_read(reply->text, &failure);
        request_fail(request, &failure);
        return;
    }
    if (!json_scan(reply->text, copy_member, &out, &failure)) {
        request_fail(request, &failure);
        return;
    }
    str_append_char(&out, '}');
    request_respond_json(request, 200, &out);
}

static bool is_alive(const struct sandbox_meta *sandbox, struct err *err)
{
    return sandbox->is_live || err_set_reason(err, ERR_CONFLICT, "sandbox_ended",
                                              "The sandbox has ended (%s).", sandbox->end_reason);
}

/* Reads the body and writes it anew: what the agent gets has been checked, and nothing else. */
static bool write_message(struct request *request, struct str *out,
                          struct json_violations *violations, struct err *err)
{
    struct agent_exec exec;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &agent_exec_schema, &exec, violations, err);
    if (doc == NULL || !env_size_check(&exec.env, err)) {
        return false;
    }
    exec.id = (struct view){0};
    exec.type = VIEW("exec");
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &agent_exec_schema, &exec);
    json_end_object(&writer);
    return str_check(out, "exec", err);
}

void sandbox_exec_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    AUTO(str_free) struct str message = STR_INIT(MESSAGE_MAX);
    if (!is_alive(&request->sandbox, &err) ||
        !write_message(request, &message, &violations, &err)) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    /* The id goes in front: the opening brace becomes the comma behind it. */
    message.data[0] = ',';
    const struct hub_message parts = {VIEW("{"), str_view(&message)};
    request->hub_call =
        hub_call_begin(request->gateway->hub, request->id, &parts, 0, on_reply, request, &err);
    if (request->hub_call == NULL) {
        request_fail(request, &err);
    }
}
