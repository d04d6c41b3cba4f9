/* sandbox-service/agent/spawn_child.h: what a new process does between its birth and the program.
 * Internal to spawn. */
#ifndef SANDBOX_AGENT_SPAWN_CHILD_H
#define SANDBOX_AGENT_SPAWN_CHILD_H

#include "sandbox-service/agent/spawn.h"

/* In the order they happen. */
enum spawn_stage {
    SPAWN_CLONE,
    SPAWN_SESSION,
    SPAWN_STDIO,
    SPAWN_TERMINAL,
    SPAWN_LIMITS,
    SPAWN_SIGNALS,
    SPAWN_BOUNDING,
    SPAWN_IDS,
    SPAWN_CAPABILITIES,
    SPAWN_NO_NEW_PRIVS,
    SPAWN_CWD,
    SPAWN_EXEC,
};

struct spawn_child {
    const struct spawner *spawner;
    const struct spawn_spec *spec;
    const char *const *paths; /* of the program, tried in order; NULL-terminated */
    /* Written by the child, in memory it shares with the agent. */
    enum spawn_stage stage;
    int error_number; /* 0: the program runs */
    bool was_killed;  /* by the watchdog */
};

/* For clone(2) with CLONE_VM | CLONE_VFORK; arg is a struct spawn_child. */
int spawn_child_main(void *arg);

#endif
