/* sandbox-service/agent/group.h: the processes of a process group, as /proc tells them. */
#ifndef SANDBOX_AGENT_GROUP_H
#define SANDBOX_AGENT_GROUP_H

#include <sys/types.h>

/* Kills all of leader's group but leader itself, as far as they can be found. */
void group_kill_others(pid_t leader);

#endif
