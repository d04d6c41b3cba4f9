/* sandbox-service/agent/trees.h: what tree.c, copy.c and listing.c share; for these. */
#ifndef SANDBOX_AGENT_TREES_H
#define SANDBOX_AGENT_TREES_H

#include "sandbox-service/agent/tree.h"
#include "sandbox-service/agent/walk.h"

struct trees {
    struct chores *chores; /* borrowed */
    size_t count;          /* at most TREES_MAX */
};

bool trees_enter(struct trees *trees, struct err *err) MUST_CHECK;
void trees_leave(struct trees *trees);

enum {
    TREE_SLICE = 256,  /* things, */
    TREE_SLICE_MS = 2, /* or about so long */
};

/* The folder that path lies in (O_PATH) and its last name, slashes at the end not counted. -1 and
 * err as open_failed. */
int tree_open_parent(const char *path, char name[PATH_COMPONENT_MAX + 1],
                     struct err *err) MUST_CHECK;

enum tree_progress { TREE_MORE, TREE_DONE, TREE_FAILED };

/* Removes a slice of what walk (consuming) leads through; force: also from folders of one's own
 * that may not be written to. */
enum tree_progress tree_remove_slice(struct walk *walk, bool force, struct err *err) MUST_CHECK;

#endif
