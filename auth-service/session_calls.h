/* auth-service/session_calls.h: the requests that a signed-in person makes about their API keys. */
#ifndef AUTH_SERVICE_SESSION_CALLS_H
#define AUTH_SERVICE_SESSION_CALLS_H

#include "common/ipc/server.h"

/* arg is the struct service. */
ipc_handler_fn session_call_create_key, session_call_list_keys, session_call_revoke_key;

#endif
