/* sandbox-service/network/placement.h: the network of a restricted sandbox that is being created:
 * its address and its rules are there before its container is. */
#ifndef SANDBOX_NETWORK_PLACEMENT_H
#define SANDBOX_NETWORK_PLACEMENT_H

#include "sandbox-service/network/change.h"

struct placement {
    struct network_change change; /* its row's address is the container's, once it is done */
    struct policy *policy;        /* owned, until it begins */
    struct str allow;             /* the same as JSON */
};

/* Copies the allow-list. NULL: an entry is wrong (ERR_INVALID, which names it). */
struct placement *placement_new(const struct json_strings *allow, struct err *err) MUST_CHECK;
/* The same of an array's text. */
struct placement *placement_new_of(struct view allow, struct err *err) MUST_CHECK;
/* While it is not under way; NULL is fine. */
void placement_free(struct placement *placement);

/* Once, when the row is there, and before the container is. parts is borrowed until done. done
 * comes exactly once, later, on the loop; or false, and it does not come. */
bool placement_begin(struct placement *placement, const struct change_parts *parts,
                     const char *sandbox_id, const char *user_id, change_done_fn *done, void *arg,
                     struct err *err) MUST_CHECK;

#endif
