#include "auth-service/act.h"

struct audit_act *act_begin(struct call *call, enum audit_action action, const char *target_kind)
{
    struct err err;
    const struct ipc_request *request = call->request;
    struct audit_act *act = audit_act_begin_by(call->service->parts.audit, action, target_kind,
                                               &request->actor, request->trace.request_id, &err);
    if (act == NULL) {
        call_fail(call, &err);
    }
    return act;
}

void act_end(struct audit_act *act, const char *target, const struct err *err)
{
    audit_act_end_with(act, target, err);
}
