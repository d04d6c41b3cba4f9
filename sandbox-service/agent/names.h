/* sandbox-service/agent/names.h: what users and groups are called, by the container's own
 * /etc/passwd and /etc/group. */
#ifndef SANDBOX_AGENT_NAMES_H
#define SANDBOX_AGENT_NAMES_H

#include "common/base/str.h"
#include "sandbox-service/agent/user.h"

#include <stdint.h>

/* One of the two files, and the last name that was asked for. */
struct names_file {
    struct str text;
    uint32_t id;
    char name[USER_NAME_MAX + 1]; /* of id; empty: none was asked for */
};
struct names {
    struct names_file users;
    struct names_file groups;
};

/* As the files are now; one that can't be read counts as empty. */
void names_load(struct names *names);
void names_free(struct names *names);

/* The number in digits when it has no name. Valid until the next call. */
const char *names_of_user(struct names *names, uid_t uid);
const char *names_of_group(struct names *names, gid_t gid);

#endif
