/* sandbox-service/events/calls.h: answers the calls of common/contracts/events.h. */
#ifndef SANDBOX_EVENTS_CALLS_H
#define SANDBOX_EVENTS_CALLS_H

#include "common/ipc/server.h"

struct calls;
struct events;

/* Borrows events, of which the sandboxes must be there. */
void events_calls_init(struct calls *calls, struct events *events);

/* Answer the exchange in every case, now or later: at the latest in events_fail_all. */
void events_handle_list(struct events *events, struct ipc_exchange *exchange,
                        const struct ipc_request *message);
void events_handle_webhook_create(struct events *events, struct ipc_exchange *exchange,
                                  const struct ipc_request *message);
void events_handle_webhook_list(struct events *events, struct ipc_exchange *exchange,
                                const struct ipc_request *message);
void events_handle_webhook_remove(struct events *events, struct ipc_exchange *exchange,
                                  const struct ipc_request *message);
void events_handle_webhook_redeliver(struct events *events, struct ipc_exchange *exchange,
                                     const struct ipc_request *message);
void events_handle_webhook_dead(struct events *events, struct ipc_exchange *exchange,
                                const struct ipc_request *message);

#endif
