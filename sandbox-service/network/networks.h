/* sandbox-service/network/networks.h: answers the calls of common/contracts/network.h: changes the
 * network of a sandbox while it runs.
 *
 * The row says what is to be before anything is done. Then the container leaves what it is not to
 * be on, the kernel gets its rules, and only then it joins what it is to be on: at no moment it may
 * more than the stricter of both. Then the row says that it is so. What stops half-way is done
 * whole by the next call, and by restricted sandboxes' adoption at the start. */
#ifndef SANDBOX_NETWORK_NETWORKS_H
#define SANDBOX_NETWORK_NETWORKS_H

#include "common/base/id.h"
#include "common/ipc/server.h"
#include "common/json/read.h"

struct change_parts;
struct networks;
struct restricted;
struct sandboxes;

/* Borrows both; of sandboxes loop, config, docker, network and audit must be there. */
struct networks *networks_open(struct sandboxes *sandboxes, struct restricted *restricted,
                               struct err *err) MUST_CHECK;
/* Ends what is in flight; later calls fail. Returns whether it may have answered anybody. */
bool networks_fail_all(struct networks *networks);
/* After networks_fail_all, docker_fail_all and restricted_stop; NULL is fine. */
void networks_close(struct networks *networks);
/* How many calls are being served. */
size_t networks_open_requests(const struct networks *networks);

/* Answer the exchange in every case, now or later. */
void networks_handle_set(struct networks *networks, struct ipc_exchange *exchange,
                         const struct ipc_request *message);
void networks_handle_get(struct networks *networks, struct ipc_exchange *exchange,
                         const struct ipc_request *message);

/* Once the table is in force: what lives is let through again, as it was. */
void networks_adopt(struct networks *networks);
/* From time to time: what is not as its row says is made so; what was denied is written down. */
void networks_refresh(struct networks *networks);

/* Whether this server has that network ("none", ...), and an allow-list goes with it. */
bool networks_offer(const struct networks *networks, struct view mode,
                    const struct json_strings *allow, struct err *err) MUST_CHECK;
/* For every container that is made; as long as networks. NULL: the engine's choice, where the host
 * names no other server. Not where it names one: the engine asks a server on the host's loopback
 * from outside of the sandbox's network. */
const char *networks_name_server(const struct networks *networks);
/* For placements; as long as networks. */
const struct change_parts *networks_parts(const struct networks *networks);

/* The sandbox has ended: writes down what it was denied, and closes what was open. NULL is fine. */
void networks_forget(struct networks *networks, const char sandbox_id[ID_SIZE]);

#endif
