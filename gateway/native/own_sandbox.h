/* gateway/native/own_sandbox.h: a sandbox of a request's own: made for it, and gone with it. It has
 * little time, and gets more for as long as the gateway lives: what one that dies leaves soon ends
 * by itself. */
#ifndef GATEWAY_NATIVE_OWN_SANDBOX_H
#define GATEWAY_NATIVE_OWN_SANDBOX_H

#include "common/contracts/sandbox.h"
#include "gateway/native/request.h"

/* err is valid during the call. */
typedef void own_sandbox_fn(const struct err *err, void *arg);

/* Lies in the owner's work; zero: there is none. */
struct own_sandbox {
    struct request *request;  /* borrowed */
    struct making *making;    /* NULL: it is made, or never will be */
    bool is_there;            /* it has to be destroyed */
    char id[ID_SIZE];         /* of one that is there */
    struct timer sign;        /* of life: due when it gets more time */
    struct ipc_call *lasting; /* gives it more */
    struct ipc_call *closing;
    own_sandbox_fn *done;
    void *arg;
};

/* Fills in the ids and the time of wanted, the caller of the request being its owner; else wanted
 * is borrowed during the call. done comes once, later, on the loop: err NULL, its agent is
 * connected. */
bool own_sandbox_begin(struct own_sandbox *own, struct request *request,
                       struct sandbox_create *wanted, own_sandbox_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
/* Of one that is there: has it destroyed. done comes once, later, on the loop, when it is gone and
 * what it had is free; or with err, and it goes later. False: done does not come, and
 * own_sandbox_end is all there is to do. */
bool own_sandbox_close(struct own_sandbox *own, own_sandbox_fn *done, void *arg) MUST_CHECK;
/* No done comes any more; it is destroyed behind the caller's back, if it may be there. */
void own_sandbox_end(struct own_sandbox *own);

#endif
