/* sandbox-service/system/system.h: answers the calls of common/contracts/system.h. */
#ifndef SANDBOX_SYSTEM_SYSTEM_H
#define SANDBOX_SYSTEM_SYSTEM_H

#include "common/ipc/server.h"

struct sandboxes;
struct system;

/* Borrows sandboxes. */
struct system *system_open(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* After docker_fail_all and store_fail_all; NULL is fine. */
void system_close(struct system *system);
/* How many calls are being served. */
size_t system_open_requests(const struct system *system);

/* Answer the exchange in every case, now or later. */
void system_handle_stats(struct system *system, struct ipc_exchange *exchange,
                         const struct ipc_request *message);
void system_handle_drain(struct system *system, struct ipc_exchange *exchange,
                         const struct ipc_request *message);
/* One at a time: ERR_CONFLICT "cleanup_running" for a second one. */
void system_handle_cleanup(struct system *system, struct ipc_exchange *exchange,
                           const struct ipc_request *message);

#endif
