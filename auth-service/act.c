#include "auth-service/act.h"

struct audit_act *act_begin(struct call *call, enum audit_action action, const char *target_kind)
{
    struct err err;
    struct audit_act *act = audit_act_begin(call->service->parts.audit, &err);
    if (act == NULL) {
        call_fail(call, &err);
        return NULL;
    }
    struct audit_record *record = audit_act_record(act);
    record->action = action;
    audit_text_set(record->target_kind, sizeof record->target_kind, view_of(target_kind));
    audit_record_set_actor(record, &call->request->actor, call->request->trace.request_id);
    return act;
}

void act_end(struct audit_act *act, const char *target, const struct err *err)
{
    struct audit_record *record = audit_act_record(act);
    record->result = audit_result_of(err);
    audit_text_set(record->target, sizeof record->target, view_of(target));
    if (err != NULL) {
        audit_record_set_detail(record, "reason", view_of(err->reason));
    }
    audit_act_end(act);
}
