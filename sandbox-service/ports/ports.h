/* sandbox-service/ports/ports.h: answers the calls of common/contracts/ports.h, and keeps the copy
 * of each sandbox's ports in Redis. */
#ifndef SANDBOX_PORTS_PORTS_H
#define SANDBOX_PORTS_PORTS_H

#include "common/base/id.h"
#include "common/ipc/server.h"

struct ports;
struct sandboxes;

/* Borrows sandboxes, of which loop, config and redis must be there. */
struct ports *ports_open(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* Ends what is in flight; later calls fail. Returns whether it may have answered anybody. */
bool ports_fail_all(struct ports *ports);
/* After ports_fail_all; NULL is fine. */
void ports_close(struct ports *ports);
/* How many calls are being served. */
size_t ports_open_requests(const struct ports *ports);

/* Answer the exchange in every case, now or later. */
void ports_handle_expose(struct ports *ports, struct ipc_exchange *exchange,
                         const struct ipc_request *message);
void ports_handle_list(struct ports *ports, struct ipc_exchange *exchange,
                       const struct ipc_request *message);
void ports_handle_close(struct ports *ports, struct ipc_exchange *exchange,
                        const struct ipc_request *message);

/* The sandbox has ended, and its rows are gone with it: so is the copy. NULL is fine. */
void ports_forget(struct ports *ports, const char sandbox_id[ID_SIZE]);

#endif
