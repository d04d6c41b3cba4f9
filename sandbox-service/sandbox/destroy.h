/* sandbox-service/sandbox/destroy.h: ends a sandbox because its user or an
 * administrator says so. */
#ifndef SANDBOX_SANDBOX_DESTROY_H
#define SANDBOX_SANDBOX_DESTROY_H

#include "common/base/trace.h"
#include "common/contracts/admin.h"
#include "common/contracts/sandbox.h"
#include "common/event/loop.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/removal.h"
#include "sandbox-service/sandbox/store.h"

struct sandboxes;

/* err NULL: the row says so; what is left of the sandbox is being removed, or, for who waits, was.
 */
typedef void sandbox_destroyed_fn(const struct err *err, void *arg);

/* Lies in the caller's request, which stays until done. */
struct sandbox_destruction {
    struct sandboxes *sandboxes; /* borrowed */
    struct store_call row;
    struct create_waiter creation; /* that is given up */
    struct removal_waiter removal;
    struct sandbox_destroy request; /* empty of an administrator's; by either of its ids */
    struct trace trace;             /* the caller's to set, as the next */
    struct audit_act *act; /* of its own place in the audit trail; taken by sandbox_destroy */
    char sandbox_id[ID_SIZE];
    sandbox_destroyed_fn *done;
    void *arg;
};

/* done comes exactly once, later, on the loop; well also when the sandbox has ended already. One
 * that is being created by that id is given up first.
 * ERR_NOT_FOUND "sandbox_not_found" when it is not the user's. */
void sandbox_destroy(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                     const struct sandbox_destroy *request, sandbox_destroyed_fn *done, void *arg);

/* The same of whoever's, by an administrator. */
void sandbox_destroy_any(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                         const struct admin_destroy_sandbox *request, sandbox_destroyed_fn *done,
                         void *arg);

/* A row has just left the living by a statement of ours: tells the gateways and has the rest
 * removed. trace is of the request that wanted it. */
void sandbox_clear_away(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                        const struct trace *trace);

#endif
