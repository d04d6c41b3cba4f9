/* auth-service/admin_calls.h: the methods of common/contracts/admin.h that are the auth-service's.
 */
#ifndef AUTH_SERVICE_ADMIN_CALLS_H
#define AUTH_SERVICE_ADMIN_CALLS_H

#include "common/ipc/server.h"

ipc_handler_fn admin_call_list_users, admin_call_change_user;
ipc_handler_fn admin_call_list_keys, admin_call_revoke_key;

#endif
