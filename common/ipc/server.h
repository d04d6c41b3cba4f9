/* common/ipc/server.h: answers calls of other processes of ours, over streams of nng. */
#ifndef COMMON_IPC_SERVER_H
#define COMMON_IPC_SERVER_H

#include "common/event/loop.h"
#include "common/ipc/envelope.h"
#include "common/ipc/tls.h"

#include <sys/types.h>

struct ipc_server;
struct ipc_exchange; /* one request and its one reply */

enum {
    IPC_EXCHANGES_MAX = 256, /* served at a time; then nothing more is read */
    IPC_STRANGERS_MAX = 32,  /* connections that have not shown a good certificate yet */
};

/* Handles a request, on the loop. request and what it points to are valid until the reply. Must
 * lead to exactly one ipc_reply_ok or ipc_reply_error, now or later. */
typedef void ipc_handler_fn(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg);
struct ipc_method {
    const char *name;
    ipc_handler_fn *handle;
};

/* Listens on url. An ipc:// path is replaced when it is a leftover, gets mode 0600 and, when owner
 * is not (uid_t)-1, that owner. methods is borrowed for the server's life. A request whose deadline
 * has passed on arrival is dropped; an unknown method is answered with an error. */
struct ipc_server *ipc_server_open(struct loop *loop, const char *url, uid_t owner,
                                   const struct ipc_method *methods, size_t method_count, void *arg,
                                   struct err *err) MUST_CHECK;
/* The same, and listens on tls+tcp:// as tls says (may be NULL: then no such URL is taken). */
struct ipc_server *ipc_server_open_tls(struct loop *loop, const char *url, uid_t owner,
                                       const struct ipc_tls *tls, const struct ipc_method *methods,
                                       size_t method_count, void *arg, struct err *err) MUST_CHECK;
/* Exchanges that are still open are forgotten: replying to them does nothing but free them. The
 * socket's file goes soon after. */
void ipc_server_close(struct ipc_server *server);

/* What is left of the request's deadline; 0 when it has passed. */
int64_t ipc_exchange_remaining_ms(const struct ipc_exchange *exchange);

/* Both free the exchange. body is a JSON object's text. */
void ipc_reply_ok(struct ipc_exchange *exchange, struct view body);
void ipc_reply_error(struct ipc_exchange *exchange, const struct err *err);

#endif
