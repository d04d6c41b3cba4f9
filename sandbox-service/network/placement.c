#include "sandbox-service/network/placement.h"

#include <stdlib.h>

struct placement *placement_new(const struct json_strings *allow, struct err *err)
{
    struct placement *placement = calloc(1, sizeof *placement);
    if (placement == NULL) {
        err_set(err, ERR_INTERNAL, "network: out of memory");
        return NULL;
    }
    placement->allow = STR_INIT(POLICY_TEXT_MAX);
    placement->policy = policy_read(allow, err);
    if (placement->policy == NULL || !policy_write(allow, &placement->allow, err)) {
        placement_free(placement);
        return NULL;
    }
    return placement;
}

struct placement *placement_new_of(struct view allow, struct err *err)
{
    struct policy_list list;
    AUTO(json_doc_release) struct json_doc *doc = policy_read_list(allow, &list, err);
    return doc == NULL ? NULL : placement_new(&list.entries, err);
}

void placement_free(struct placement *placement)
{
    if (placement != NULL) {
        free(placement->policy);
        str_free(&placement->allow);
        free(placement);
    }
}

bool placement_begin(struct placement *placement, const struct change_parts *parts,
                     const char *sandbox_id, const char *user_id, change_done_fn *done, void *arg,
                     struct err *err)
{
    /* The row says "restricted" and nobody has changed it: there is nothing to leave or to join. */
    return network_change_begin(&placement->change, parts, sandbox_id, user_id, "restricted",
                                placement->allow.data, TAKE(placement->policy), done, arg, err);
}
