/* sandbox-service/life/calls.h: the calls of common/contracts/life.h. */
#ifndef SANDBOX_LIFE_CALLS_H
#define SANDBOX_LIFE_CALLS_H

#include "common/ipc/server.h"

struct life_calls;
struct sandboxes;

struct life_calls *life_calls_new(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* When none is open: after the calls of the store were failed, and shifts_end. */
void life_calls_free(struct life_calls *calls);
size_t life_calls_open(const struct life_calls *calls);

void life_handle_pause(struct life_calls *calls, struct ipc_exchange *exchange,
                       const struct ipc_request *message);
void life_handle_resume(struct life_calls *calls, struct ipc_exchange *exchange,
                        const struct ipc_request *message);
void life_handle_times(struct life_calls *calls, struct ipc_exchange *exchange,
                       const struct ipc_request *message);
void life_handle_active(struct life_calls *calls, struct ipc_exchange *exchange,
                        const struct ipc_request *message);

#endif
