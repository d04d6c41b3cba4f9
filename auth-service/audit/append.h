/* auth-service/audit/append.h: stores records of the audit trail for processes that have no
 * database. */
#ifndef AUTH_SERVICE_AUDIT_APPEND_H
#define AUTH_SERVICE_AUDIT_APPEND_H

#include "common/ipc/server.h"

/* Answers audit.append: when it says so the records are in the table. arg is the service. */
ipc_handler_fn audit_call_append;

#endif
