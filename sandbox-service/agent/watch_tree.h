/* sandbox-service/agent/watch_tree.h: the folders of one watch: which of the kernel's numbers is
 * which path, also after folders were moved. */
#ifndef SANDBOX_AGENT_WATCH_TREE_H
#define SANDBOX_AGENT_WATCH_TREE_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "sandbox-service/agent/path.h"

#include <dirent.h>
#include <sys/types.h>

/* A folder, or the one file that is watched. */
struct watched {
    struct map_node by_number;
    int number;             /* of inotify */
    struct watched *parent; /* NULL: the root */
    struct list sibling;    /* in the parent's children */
    struct list children;
    struct list unscanned; /* in the tree's list: what is in it has not been looked at yet */
    bool is_news;          /* and is to be told then */
    char *name;            /* owned; empty for the root */
};

struct watch_tree {
    int inotify;  /* owned */
    dev_t device; /* of the root, to know it again */
    ino_t inode;
    const char *path; /* borrowed; of the root */
    struct map by_number;
    struct watched *root; /* owned, with all below; NULL: nothing is watched */
    struct list unscanned;
    struct watched *scanned; /* at the moment; NULL: none */
    DIR *folder;             /* owned; of scanned */
    size_t count;
};

/* Watches path itself. With the rights of the moment, as watch_tree_add. On failure it is as good
 * as closed; errors as open_failed. */
bool watch_tree_open(struct watch_tree *tree, const char *path, bool *is_folder,
                     struct err *err) MUST_CHECK;
/* Accepts a zeroed one. */
void watch_tree_close(struct watch_tree *tree);

/* Watches the folder name in parent from now on and puts it among the unscanned; one that is
 * watched already stays as it is. A name that leads to no folder, or to one that may not be read,
 * is left out. ERR_LIMIT "too_many_folders" by our bound or the kernel's. */
bool watch_tree_add(struct watch_tree *tree, struct watched *parent, const char *name, bool is_news,
                    struct err *err) MUST_CHECK;

/* NULL when there is none. */
struct watched *watch_tree_find(const struct watch_tree *tree, int number);
struct watched *watch_tree_child(const struct watched *parent, const char *name);

/* No longer in the tree, with all below it; not for the root. */
void watch_tree_drop(struct watch_tree *tree, struct watched *watched);
/* Has another name from now on. False when out of memory; it is dropped then. */
bool watch_tree_move(struct watch_tree *tree, struct watched *watched, struct watched *parent,
                     const char *name) MUST_CHECK;

/* The path of what is called name in watched ("": of itself). False when it is too long. */
bool watch_tree_path(const struct watch_tree *tree, const struct watched *watched, const char *name,
                     char out[PATH_SIZE]) MUST_CHECK;

/* Whether there are folders that have not been looked at to their end. */
bool watch_tree_is_unscanned(const struct watch_tree *tree);
/* Sees to it that folder is open, if there is one that can be opened among the unscanned. False:
 * all is scanned. */
bool watch_tree_open_next(struct watch_tree *tree) MUST_CHECK;
/* What is in the open folder has been looked at. */
void watch_tree_end_folder(struct watch_tree *tree);
/* Whether an item of the open folder is a folder itself. */
bool watch_tree_is_folder(const struct watch_tree *tree, const struct dirent *item);

#endif
