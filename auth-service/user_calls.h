/* auth-service/user_calls.h: the methods about one's own account, and the one about the trail. */
#ifndef AUTH_SERVICE_USER_CALLS_H
#define AUTH_SERVICE_USER_CALLS_H

#include "common/ipc/server.h"

/* arg is the struct service. */
ipc_handler_fn user_call_get, user_call_update, user_call_delete, audit_call_list;

#endif
