/* sandbox-service/belongings.h: the calls about what users have beside sandboxes; service.c lists
 * them. arg is the service. */
#ifndef SANDBOX_BELONGINGS_H
#define SANDBOX_BELONGINGS_H

#include "common/ipc/server.h"

ipc_handler_fn belongings_secret_set;
ipc_handler_fn belongings_secret_list;
ipc_handler_fn belongings_secret_delete;
ipc_handler_fn belongings_volume_create;
ipc_handler_fn belongings_volume_list;
ipc_handler_fn belongings_volume_delete;

#endif
