/* auth-service/act.h: what a call changes, in the audit trail. */
#ifndef AUTH_SERVICE_ACT_H
#define AUTH_SERVICE_ACT_H

#include "auth-service/call.h"
#include "common/audit/act.h"

/* Has the record's place, action, kind of target (a literal) and who acts. NULL, and the call is
 * answered, when the trail has no room for what is about to be done. */
struct audit_act *act_begin(struct call *call, enum audit_action action,
                            const char *target_kind) MUST_CHECK;

/* err is NULL when it was done; target may be "". The record goes its way. Accepts NULL. */
void act_end(struct audit_act *act, const char *target, const struct err *err);

#endif
