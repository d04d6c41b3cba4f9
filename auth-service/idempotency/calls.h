/* auth-service/idempotency/calls.h: the methods of common/contracts/idempotency.h. */
#ifndef AUTH_SERVICE_IDEMPOTENCY_CALLS_H
#define AUTH_SERVICE_IDEMPOTENCY_CALLS_H

#include "common/contracts/idempotency.h"
#include "common/ipc/server.h"

/* arg is the struct service. */
ipc_handler_fn idempotency_call_claim, idempotency_call_renew, idempotency_call_finish,
    idempotency_call_release;

#endif
