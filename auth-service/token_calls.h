/* auth-service/token_calls.h: client tokens: who may have one, and who one speaks for. */
#ifndef AUTH_SERVICE_TOKEN_CALLS_H
#define AUTH_SERVICE_TOKEN_CALLS_H

#include "common/ipc/server.h"

/* arg is the struct service. */
ipc_handler_fn token_call_make, token_call_check;

#endif
