/* What a client asks over its WebSocket, in the audit trail. */
#include "common/contracts/agent.h"
#include "gateway/audit/recorder.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/client_relay.h"

/* What a record tells of a message; never what it brings to a process or a file. */
struct message_body {
    struct view cmd;
    struct json_strings args;
    struct view cwd;
    struct view user;
    struct view path;
    struct view to;
};

static const struct json_field body_fields[] = {
    JSON_STRING(struct message_body, cmd, "cmd"),   JSON_STRINGS(struct message_body, args, "args"),
    JSON_STRING(struct message_body, cwd, "cwd"),   JSON_STRING(struct message_body, user, "user"),
    JSON_STRING(struct message_body, path, "path"), JSON_STRING(struct message_body, to, "to"),
};

/* Of what can't be read the agent says what is wrong; the record then only says what it was. */
static void describe(struct audit_act *act, struct view type, struct view text)
{
    struct err ignored;
    struct message_body body;
    struct audit_record *record = audit_act_record(act);
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    if (record->action != AUDIT_EXEC) {
        audit_record_add_detail(record, "op", type);
    }
    AUTO(json_doc_release) struct json_doc *doc = json_read(text, &schema, &body, NULL, &ignored);
    if (doc == NULL) {
        return;
    }
    if (record->action == AUDIT_EXEC) {
        recorder_add_command(act, body.cmd, &body.args);
        audit_record_add_detail(record, "user", body.user);
        audit_record_add_detail(record, "cwd", body.cwd);
    } else {
        audit_record_add_detail(record, "path", body.path);
        audit_record_add_detail(record, "to", body.to);
    }
}

bool client_record_begin(struct client_relay *relay, enum audit_action action, struct view type,
                         struct view text, struct err *err)
{
    if (action == AUDIT_ACTION_COUNT || !recorder_wants(relay->recorder, action)) {
        return true;
    }
    relay->act = recorder_begin(relay->recorder, action, &relay->actor, &relay->trace,
                                relay->sandbox_id, err);
    if (relay->act == NULL) {
        return false;
    }
    describe(relay->act, type, text);
    return true;
}

void client_record_end(struct audit_act *act, const struct hub_reply *reply, const struct err *err)
{
    struct err failure = {0};
    if (act == NULL) {
        return;
    }
    if (err == NULL && view_equal(reply->type, VIEW("error"))) {
        agent_error_read(reply->text, &failure);
        err = &failure;
    }
    recorder_end(act, err);
}
