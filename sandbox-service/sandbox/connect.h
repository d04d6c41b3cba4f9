/* sandbox-service/sandbox/connect.h: an agent proves who it is and is told what it must know. */
#ifndef SANDBOX_SANDBOX_CONNECT_H
#define SANDBOX_SANDBOX_CONNECT_H

#include "common/base/trace.h"
#include "common/contracts/sandbox.h"
#include "sandbox-service/sandbox/store.h"

struct sandboxes;

/* welcome is NULL when err is not. Both are valid during the call only. */
typedef void sandbox_connected_fn(const struct sandbox_agent_welcome *welcome,
                                  const struct err *err, void *arg);

/* Lies in the caller's request, which stays until done. */
struct sandbox_connection {
    struct sandboxes *sandboxes; /* borrowed */
    struct store_call row;
    struct trace trace; /* the caller's to set */
    int64_t generation; /* that was presented */
    char sandbox_id[ID_SIZE];
    char gateway_id[ID_SIZE];
    sandbox_connected_fn *done;
    void *arg;
};

/* Checks the token; the row decides on its generation and becomes `running`. The welcome carries
 * the token of the next generation. done comes exactly once, later, on the loop, unless this
 * returns false: the token is none of ours. */
bool sandbox_connect(struct sandboxes *sandboxes, struct sandbox_connection *connection,
                     const struct sandbox_agent_connect *request, sandbox_connected_fn *done,
                     void *arg, struct err *err) MUST_CHECK;

#endif
