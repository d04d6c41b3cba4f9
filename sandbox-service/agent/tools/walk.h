/* sandbox-service/agent/tools/walk.h: everything below a folder, each folder before what is in it,
 * by name in the order of the bytes. No link is followed; what the kernel makes up (/proc, /sys) is
 * left out. Memory is that of the names of the folders on the way, within WALK_NAMES_MAX. */
#ifndef SANDBOX_AGENT_TOOLS_WALK_H
#define SANDBOX_AGENT_TOOLS_WALK_H

#include "common/base/err.h"

#include <sys/stat.h>

enum {
    WALK_NAMES_MAX = 32 * 1024 * 1024,
    WALK_DEPTH_MAX = 256,
};

struct walk_entry {
    const char *path; /* relative to where the walk began */
    const char *name;
    int folder; /* that name lies in; borrowed during the call */
    struct stat status;
};

struct walk_events {
    /* False ends the walk; walk then returns false with err as it was set. */
    bool (*on_entry)(const struct walk_entry *entry, void *arg, struct err *err);
    /* Something could not be looked at, or a folder not be read; err says why. True: go on without
     * it. */
    bool (*on_unreadable)(const char *path, void *arg, struct err *err);
};

/* ERR_LIMIT "folder_too_large" for too many names or too deep a folder; those of open_failed. What
 * vanishes meanwhile is left out. */
bool walk(const char *folder, const struct walk_events *events, void *arg,
          struct err *err) MUST_CHECK;

#endif
