#include "common/audit/act.h"

struct audit_act *audit_act_begin_by(struct audit_writer *writer, enum audit_action action,
                                     const char *target_kind, const struct actor *actor,
                                     const char *request_id, struct err *err)
{
    struct audit_act *act = audit_act_begin(writer, err);
    if (act == NULL) {
        return NULL;
    }
    struct audit_record *record = audit_act_record(act);
    record->action = action;
    audit_text_set(record->target_kind, sizeof record->target_kind, view_of(target_kind));
    audit_record_set_actor(record, actor, request_id);
    return act;
}

void audit_act_end_with(struct audit_act *act, const char *target, const struct err *err)
{
    if (act == NULL) {
        return;
    }
    struct audit_record *record = audit_act_record(act);
    record->result = audit_result_of(err);
    audit_text_set(record->target, sizeof record->target, view_of(target));
    if (err != NULL) {
        audit_record_add_detail(record, "reason", view_of(err->reason));
    }
    audit_act_end(act);
}
