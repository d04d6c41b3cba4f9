#include "sandbox-service/agent/acting.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

/* The library's setgroups would ask the watchdog's thread to change too. */
static bool set_groups(size_t count, const gid_t *groups)
{
    return syscall(SYS_setgroups, count, groups) == 0;
}

/* These two tell nothing by their result; only asking again does. */
static bool set_file_ids(uid_t uid, gid_t gid)
{
    (void)setfsgid(gid);
    (void)setfsuid(uid);
    return (uid_t)setfsuid((uid_t)-1) == uid && (gid_t)setfsgid((gid_t)-1) == gid;
}

bool acting_begin(struct acting *acting, const struct user *user, struct err *err)
{
    acting->group_count = getgroups(USER_GROUPS_MAX, acting->groups);
    if (acting->group_count < 0) {
        return err_set(err, ERR_INTERNAL, "getgroups: errno %d", errno);
    }
    if (!set_groups(user->group_count, user->groups)) {
        return err_set(err, ERR_INTERNAL, "setgroups: errno %d", errno);
    }
    if (!set_file_ids(user->uid, user->gid)) {
        acting_end(acting);
        return err_set(err, ERR_INTERNAL, "file access as uid %u is refused", (unsigned)user->uid);
    }
    return true;
}

void acting_end(struct acting *acting)
{
    if (!set_file_ids(geteuid(), getegid()) ||
        !set_groups((size_t)acting->group_count, acting->groups)) {
        abort();
    }
}
