/* gateway/hub/watch.h: listens on the sockets of this node's sandboxes.
 *
 * The sandbox-service makes agents/<id32>/ for each sandbox. Whichever gateway holds the lock of
 * locks/<id32> listens on agents/<id32>/agent.sock; the kernel frees the lock when it dies. */
#ifndef GATEWAY_HUB_WATCH_H
#define GATEWAY_HUB_WATCH_H

#include "common/base/id.h"

struct http_listener;
struct loop;
struct watch;

/* Called with a listening socket (the callee takes it) and the sandbox's id, which stays where it
 * is for the listener's life. Returns the listener, NULL when that failed. */
typedef struct http_listener *watch_listen_fn(int listening_fd, char sandbox_id[ID_SIZE],
                                              void *arg);
struct watch *watch_open(struct loop *loop, const char *run_dir, watch_listen_fn *listen_on,
                         void *arg, struct err *err) MUST_CHECK;
void watch_close(struct watch *watch);

/* Removes the sandbox's first credential from its directory: it has been used. */
void watch_unlink_token(const struct watch *watch, const char sandbox_id[ID_SIZE]);

#endif
