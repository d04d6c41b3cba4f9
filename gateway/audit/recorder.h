/* gateway/audit/recorder.h: this process's part of the audit trail: what it does by itself (signed
 * URLs, tokens), and of the data plane (commands, writes to files) what AUDIT_DATA_PLANE says.
 *
 * Records wait in a bounded queue and go to the auth-service in batches, each once, however often
 * that is away; acts find no place when the queue is full (common/audit/writer.h). */
#ifndef GATEWAY_AUDIT_RECORDER_H
#define GATEWAY_AUDIT_RECORDER_H

#include "common/audit/act.h"

struct ipc_client;
struct recorder;
struct trace;

enum recorder_scope {
    RECORD_NO_DATA,
    RECORD_COMMANDS,
    RECORD_ALL_DATA, /* and writes to files */
};
/* "off", "commands", "all". */
bool recorder_scope_parse(struct view name, enum recorder_scope *out) MUST_CHECK;

/* Borrows auth_service. */
struct recorder *recorder_open(struct loop *loop, struct ipc_client *auth_service,
                               enum recorder_scope scope, struct err *err) MUST_CHECK;
/* done comes when nothing waits any more; at once when that is so now. */
void recorder_drain(struct recorder *recorder, audit_drained_fn *done, void *arg);
/* After every act ended; before auth_service is closed. What waits goes to the log. Accepts NULL.
 */
void recorder_close(struct recorder *recorder);

/* A place for what is about to be done to a sandbox: its id is the target; ended with
 * recorder_end. ERR_UNAVAILABLE "audit_unavailable". */
struct audit_act *recorder_begin(struct recorder *recorder, enum audit_action action,
                                 const struct actor *actor, const struct trace *trace,
                                 const char sandbox_id[ID_SIZE], struct err *err) MUST_CHECK;
/* err is NULL when it was done. Frees the act; accepts NULL. */
void recorder_end(struct audit_act *act, const struct err *err);

/* Whether what was begun was done is not known, for that reason. Frees the act; accepts NULL. */
void recorder_end_unknown(struct audit_act *act, const char *reason);

/* Whether records are made of that act (AUDIT_EXEC, AUDIT_FILE_WRITTEN) at all; not by NULL. */
bool recorder_wants(const struct recorder *recorder, enum audit_action action);

/* The words of a command, one behind the other. */
void recorder_add_command(struct audit_act *act, struct view command,
                          const struct json_strings *arguments);

#endif
