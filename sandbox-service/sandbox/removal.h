/* sandbox-service/sandbox/removal.h: takes away what a sandbox leaves: container, directory, lock,
 * and its row's last step. */
#ifndef SANDBOX_SANDBOX_REMOVAL_H
#define SANDBOX_SANDBOX_REMOVAL_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/trace.h"

struct sandboxes;

/* Queues the removal of all that carries this id; a row `stopping` becomes `destroyed` when the
 * rest is gone. The row must not be alive. Nothing happens when the removal is under way already;
 * what fails is tried again by the reconciler. trace is of the request that wanted it. */
void sandbox_remove(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                    const struct trace *trace);

bool sandbox_is_being_removed(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE]);

/* Lies in the caller's request. over comes once, later, on the loop, when the removal has ended,
 * well or not. */
struct removal_waiter {
    struct list node;
    void (*over)(void *arg);
    void *arg;
};
/* False: nothing of that sandbox is being removed, and over does not come. */
bool sandbox_removal_wait(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                          struct removal_waiter *waiter) MUST_CHECK;

/* Those that wait are left for the next process to do; those that run go on. */
void sandbox_removals_drop_waiting(struct sandboxes *sandboxes);

#endif
