/* sandbox-service/service.h: answers the calls of common/contracts/sandbox.h. */
#ifndef SANDBOX_SERVICE_H
#define SANDBOX_SERVICE_H

#include "common/base/err.h"

#include <sys/types.h>

struct ipc_tls;
struct loop;
struct sandboxes;
struct service;

/* Listens on url, for callers that run as owner or, of tls+tcp://, have the certificate that tls
 * asks for (borrowed during the call). Borrows sandboxes. */
struct service *service_open(struct loop *loop, const char *url, uid_t owner,
                             const struct ipc_tls *tls, struct sandboxes *sandboxes,
                             struct err *err) MUST_CHECK;
/* Calls that are still open are not answered any more; their requests must be over by then. */
void service_close(struct service *service);
/* How many requests are being served. */
struct sandboxes *service_sandboxes(const struct service *service);
size_t service_open_requests(const struct service *service);

#endif
