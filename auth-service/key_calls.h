/* auth-service/key_calls.h: what callers, whom the gateway knows, ask about API keys. */
#ifndef AUTH_SERVICE_KEY_CALLS_H
#define AUTH_SERVICE_KEY_CALLS_H

#include "common/ipc/server.h"

/* arg is the struct service. */
ipc_handler_fn key_call_create, key_call_list, key_call_revoke, key_call_rotate;

#endif
