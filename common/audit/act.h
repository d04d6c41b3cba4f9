/* common/audit/act.h: acts of a caller of ours, from the call to its record. */
#ifndef COMMON_AUDIT_ACT_H
#define COMMON_AUDIT_ACT_H

#include "common/audit/writer.h"

/* Has the record's place, action, kind of target (a literal) and who acts; as audit_act_begin. */
struct audit_act *audit_act_begin_by(struct audit_writer *writer, enum audit_action action,
                                     const char *target_kind, const struct actor *actor,
                                     const char *request_id, struct err *err) MUST_CHECK;

/* err is NULL when it was done, else the detail gets its reason; target may be "". The record goes
 * its way. Frees the act; accepts NULL. */
void audit_act_end_with(struct audit_act *act, const char *target, const struct err *err);

#endif
