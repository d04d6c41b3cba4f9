/* sandbox-service/network/egress.h: the restricted sandboxes of this engine, and the kernel's rules
 * for them (egress_rules.h says how they hold).
 *
 * Who changes something is told when it is in force: a sandbox is started, and an answer of the
 * resolver sent, only then. */
#ifndef SANDBOX_NETWORK_EGRESS_H
#define SANDBOX_NETWORK_EGRESS_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/event/worker.h"
#include "sandbox-service/network/denials.h"

struct egress;
struct egress_call;

typedef void egress_done_fn(const struct err *err, void *arg);

/* One change. Lies in the caller's request; belongs to egress until its done, which comes exactly
 * once, later, on the loop; never where the function that began it returned false. */
struct egress_call {
    struct worker_job job; /* first */
    struct str script;
    struct str then;   /* a second one, behind the first; mostly empty */
    struct str output; /* of both; valid in done */
    struct err err;
    egress_done_fn *done;
    void *arg;
};

/* A restricted sandbox. */
struct egress_box {
    struct map_node by_id;
    struct map_node by_address;
    struct list by_age; /* those whose attempts were taken longest ago are first */
    int64_t flushed_ms; /* when they were, or it began; monotonic */
    char sandbox_id[ID_SIZE];
    uint32_t address;
    struct policy *policy; /* owned */
    struct denials denials;
    bool is_missing;     /* the kernel has nothing of it, though it should */
    size_t questions;    /* of the resolver's, without an answer */
    int64_t asked_to_ms; /* the same: what was asked fills the time up to then; monotonic */
};

/* Borrows loop and rules for its life. */
struct egress *egress_open(struct loop *loop, const struct egress_rules *rules,
                           struct err *err) MUST_CHECK;
/* Calls every done. What is in force stays so: the sandboxes live on. */
void egress_close(struct egress *egress);
const struct egress_rules *egress_rules_of(const struct egress *egress);

/* Puts the table into force, with the sandboxes that are known, should somebody have taken it away;
 * what names had opened is lost then. Those of an earlier process stay in it, as they are, until
 * they are adopted or dismissed. One at a time. */
bool egress_begin(struct egress *egress, struct egress_call *call, egress_done_fn *done, void *arg,
                  struct err *err) MUST_CHECK;

/* How a sandbox comes to be known. */
enum egress_admission {
    EGRESS_NEW,     /* it, or its policy: what was open at the address is closed first, but for what
                       names have opened when the new policy has all that the last one had */
    EGRESS_ADOPTED, /* the very policy was in force already: what names have opened stays */
};
/* Lets a sandbox reach what its policy says. Takes the policy, also when it fails; the caller then
 * dismisses one that is new. address: chosen for it and nobody else. */
bool egress_admit(struct egress *egress, struct egress_call *call, const char sandbox_id[ID_SIZE],
                  uint32_t address, struct policy *policy, enum egress_admission admission,
                  egress_done_fn *done, void *arg, struct err *err) MUST_CHECK;
/* It has ended, or has another network. Does nothing for one that is not known. Where the kernel
 * does not do it, it is tried again until it does. */
void egress_dismiss(struct egress *egress, const char sandbox_id[ID_SIZE]);

/* NULL: there is none. Valid until the next turn of the loop. */
struct egress_box *egress_box_at(const struct egress *egress, uint32_t address);
struct egress_box *egress_box_of(const struct egress *egress, const char sandbox_id[ID_SIZE]);

/* The addresses of a name that the box's policy has. */
struct egress_grant {
    const char *name;
    const uint32_t *targets;
    size_t count;
    bool makes_room; /* what other names have opened and nothing uses is closed */
};
/* Opens them; copies. Fails, among others, where there is no room. */
bool egress_grant(struct egress *egress, struct egress_call *call, const struct egress_box *box,
                  const struct egress_grant *grant, egress_done_fn *done, void *arg,
                  struct err *err) MUST_CHECK;

/* Takes what the box was denied at addresses: call->output is for denials_write, and the kernel
 * begins to count anew. */
bool egress_take_attempts(struct egress *egress, struct egress_call *call, struct egress_box *box,
                          egress_done_fn *done, void *arg, struct err *err) MUST_CHECK;
/* Whose attempts were taken longest ago; NULL: there is none. */
struct egress_box *egress_box_oldest(const struct egress *egress);

/* Holds whom elements (of egress_write_rate) name to their rates, and nobody else. */
bool egress_set_rates(struct egress *egress, struct egress_call *call, struct view elements,
                      egress_done_fn *done, void *arg, struct err *err) MUST_CHECK;

/* Ends what the kernel has of sandboxes that are not known: an earlier process may have been killed
 * before it could. All that live are known by then. */
void egress_sweep(struct egress *egress);

#endif
