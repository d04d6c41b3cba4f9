/* sandbox-service/network/change.h: gives a sandbox that runs another network. */
#ifndef SANDBOX_NETWORK_CHANGE_H
#define SANDBOX_NETWORK_CHANGE_H

#include "common/contracts/network.h"
#include "sandbox-service/docker/attachment.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/network/restricted.h"
#include "sandbox-service/network/store.h"

/* Borrowed by each change until its done. */
struct change_parts {
    struct docker *docker;
    struct network_store *store;
    struct restricted *restricted;
    const char *open_network; /* on the engine */
};

/* err NULL: it is in force, and the row says so. */
typedef void change_done_fn(const struct err *err, void *arg);

/* Lies in the caller's request; belongs to this module from begin to done. */
struct network_change {
    const struct change_parts *parts; /* borrowed */
    struct attachment_call attachment;
    struct egress_call table;
    struct policy *policy;   /* owned, until the table has it */
    const char *wanted;      /* a literal of network_modes */
    const char *to_leave[2]; /* the networks that it is not to be on; NULL: left already */
    char sandbox_id[ID_SIZE];
    char container[CONTAINER_NAME_SIZE];
    struct network_row row;
    change_done_fn *done;
    void *arg;
};

/* Says it in the row and makes it so. allow: a JSON array, the policy's text; policy is taken, also
 * when it fails. done comes exactly once, later, on the loop; or false, and it does not come. */
bool network_change_begin(struct network_change *change, const struct change_parts *parts,
                          const char *sandbox_id, const char *user_id, const char *wanted,
                          const char *allow, struct policy *policy, change_done_fn *done, void *arg,
                          struct err *err) MUST_CHECK;

/* Does to its end what a row says and nobody has done, unless the row has changed since it was
 * read. Takes policy; done comes as above. */
void network_change_resume(struct network_change *change, const struct change_parts *parts,
                           const struct network_unit *unit, struct policy *policy,
                           change_done_fn *done, void *arg);

#endif
