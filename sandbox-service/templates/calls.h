/* sandbox-service/templates/calls.h: answers the calls of common/contracts/templates.h. */
#ifndef SANDBOX_TEMPLATES_CALLS_H
#define SANDBOX_TEMPLATES_CALLS_H

#include "common/ipc/server.h"

struct templates;

/* Of a struct that has its sandboxes. */
void templates_calls_init(struct templates *templates);

/* Answer the exchange in every case, now or later. */
void templates_handle_create(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message);
void templates_handle_get(struct templates *templates, struct ipc_exchange *exchange,
                          const struct ipc_request *message);
void templates_handle_list(struct templates *templates, struct ipc_exchange *exchange,
                           const struct ipc_request *message);
void templates_handle_delete(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message);
void templates_handle_piece(struct templates *templates, struct ipc_exchange *exchange,
                            const struct ipc_request *message);
void templates_handle_log(struct templates *templates, struct ipc_exchange *exchange,
                          const struct ipc_request *message);

/* How many calls are being served. */
size_t templates_open_requests(const struct templates *templates);

#endif
