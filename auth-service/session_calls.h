/* auth-service/session_calls.h: who a session token speaks for, and which sessions are in use. */
#ifndef AUTH_SERVICE_SESSION_CALLS_H
#define AUTH_SERVICE_SESSION_CALLS_H

#include "common/ipc/server.h"

/* Of AUTH_CHECK_SESSION and AUTH_NOTE_SESSIONS; arg is the struct service. */
ipc_handler_fn session_call_check, session_call_note;

#endif
