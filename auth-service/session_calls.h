/* auth-service/session_calls.h: who a session token speaks for. */
#ifndef AUTH_SERVICE_SESSION_CALLS_H
#define AUTH_SERVICE_SESSION_CALLS_H

#include "common/ipc/server.h"

/* arg is the struct service. */
ipc_handler_fn session_call_check;

#endif
