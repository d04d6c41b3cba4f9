/* sandbox-service/agent/user.h: whom a command or a file access runs as, by the container's own
 * /etc/passwd and /etc/group. They are parsed here: the C library's look-ups would load modules of
 * the image or ask a socket that a tenant could own. */
#ifndef SANDBOX_AGENT_USER_H
#define SANDBOX_AGENT_USER_H

#include "common/base/err.h"
#include "common/base/view.h"
#include "common/contracts/agent.h"

#include <sys/types.h>

enum {
    USER_GROUPS_MAX = 64,        /* further memberships are ignored */
    USER_FILE_MAX = 1024 * 1024, /* bytes read of passwd and of group */
    USER_HOME_SIZE = 1024,       /* a longer home counts as "/" */
    USER_SHELL_SIZE = 256,       /* a longer shell counts as /bin/sh */
    USER_NOBODY = 65534,         /* under the locked profile, when nobody else is left */
};

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[USER_GROUPS_MAX];
    size_t group_count;
    char name[USER_NAME_MAX + 1]; /* the number in digits when there is no name */
    char home[USER_HOME_SIZE];
    char shell[USER_SHELL_SIZE];
};

struct user_choice {
    struct view asked;      /* name or number, ":group" may follow; empty: the default user */
    struct view image_user; /* the same form; may be empty */
    bool chosen;            /* image_user by who made the template: it or nobody */
    bool locked;            /* never root, neither as user nor as group */
};

/* Who is meant, by the text of the two files. The default is the chosen one, without one `user`,
 * else the image's user, else root (locked: USER_NOBODY). ERR_INVALID "user_not_found", ERR_DENIED
 * "root_denied" or, for a group that a caller under the locked profile may not name,
 * "group_denied". */
bool user_resolve(struct view passwd, struct view group, const struct user_choice *choice,
                  struct user *out, struct err *err) MUST_CHECK;

/* The same, with the files as they are now. A file that is missing, no regular file or longer than
 * USER_FILE_MAX counts as empty. */
bool user_load(const struct user_choice *choice, struct user *out, struct err *err) MUST_CHECK;

#endif
