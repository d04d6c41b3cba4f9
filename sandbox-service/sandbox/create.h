/* sandbox-service/sandbox/create.h: from a request to a container that runs. */
#ifndef SANDBOX_SANDBOX_CREATE_H
#define SANDBOX_SANDBOX_CREATE_H

#include "common/base/list.h"
#include "common/base/trace.h"
#include "common/contracts/sandbox.h"

struct sandboxes;

/* info is a sandbox_info's JSON, NULL when err is not. Both are valid during the call only. */
typedef void sandbox_created_fn(const struct view *info, const struct err *err, void *arg);

/* Lies in the caller's request, which stays until done; all but node is the caller's to set. */
struct create_waiter {
    struct list node;
    struct trace trace;        /* of the first, for the log and the audit trail, as the next */
    const struct actor *actor; /* borrowed during sandbox_create */
    sandbox_created_fn *done;
    void *arg;
};

/* Creates the sandbox that the request describes, or joins its creation when that is under way.
 * Copies from request. done comes exactly once, later, on the loop, at most about deadline_ms
 * later; not at all when this returns false: it is refused. */
bool sandbox_create(struct sandboxes *sandboxes, const struct sandbox_create *request,
                    int64_t deadline_ms, struct create_waiter *waiter, struct err *err) MUST_CHECK;

/* Starts a container that will wait in the pool. Copies from warm. done comes as above, with a view
 * of nothing, when it runs; its agent connects behind that. */
struct store_warm;
bool sandbox_create_warm(struct sandboxes *sandboxes, const struct store_warm *warm,
                         struct create_waiter *waiter, struct err *err) MUST_CHECK;

/* Whether this process is creating the sandbox, up to its agent's first connect. */
bool sandbox_is_being_created(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE]);
/* The same up to its answer: its container may not be there yet. */
bool sandbox_is_being_started(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE]);
/* The agent connected: the creation is over. */
void sandbox_create_over(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE]);
/* The row has ended while the sandbox was being created: what is not begun is left. */
void sandbox_create_abort(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE]);
/* A user gives up what is being created by that key, if it is and is the user's: it does not go on,
 * and its row, which may not be there yet, ends. waiter, which may be NULL, is then told of a
 * failure when that is over. False, and nothing happens, when it is answered or not under way. */
bool sandbox_create_abandon(struct sandboxes *sandboxes, const char key[ID_SIZE],
                            const char user_id[ID_SIZE], struct create_waiter *waiter);
/* How many are not answered yet. */
size_t sandbox_creates_unanswered(struct sandboxes *sandboxes);
/* At the end of the process: gives up those that wait for their turn, forgets those that were
 * answered. The rest end with the calls they have in flight. */
void sandbox_creates_end(struct sandboxes *sandboxes);

#endif
