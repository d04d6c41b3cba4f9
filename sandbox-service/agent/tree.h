/* sandbox-service/agent/tree.h: removing, copying and moving files and whole folders, with the
 * acting user's rights, in slices. Paths are absolute; a link as the last component is meant
 * itself. Each answers once, now or later, with <type>Response {path} or an error as open_failed
 * says; also "too_deep", "busy". */
#ifndef SANDBOX_AGENT_TREE_H
#define SANDBOX_AGENT_TREE_H

#include "sandbox-service/agent/chore.h"
#include "sandbox-service/agent/reply.h"
#include "sandbox-service/agent/user.h"

struct trees; /* all that are under way */

enum { TREES_MAX = 32 };

/* chores is borrowed and must be freed first. */
struct trees *trees_new(struct chores *chores, struct err *err) MUST_CHECK;
/* NULL is fine. */
void trees_free(struct trees *trees);

/* A folder that is not empty: "directory_not_empty" unless recursive. What failed in the middle
 * stays as far as it was not removed yet. */
void tree_remove(struct trees *trees, const struct reply *reply, const struct user *user,
                 const char *path, bool recursive);

struct tree_target {
    const char *from;
    const char *to; /* the new path itself; its folder must be there */
    bool overwrite; /* a file, or an empty folder, else "file_exists", "directory_not_empty" */
    bool recursive; /* of copy: folders too, else "is_a_directory" */
};

/* The copy appears at to in one step, whole or not at all. Modes are kept but set-uid and set-gid;
 * the owner is the acting user. Devices are refused ("not_a_file"). */
void tree_copy(struct trees *trees, const struct reply *reply, const struct user *user,
               const struct tree_target *target);

/* In one step; where the kernel can't (from one file system to another, folders of the image) by a
 * copy that appears in one step and the removal of what was copied. */
void tree_rename(struct trees *trees, const struct reply *reply, const struct user *user,
                 const struct tree_target *target);

/* The answer that has just a path. */
void tree_answer(const struct reply *reply, const char *type, const char *path);

#endif
