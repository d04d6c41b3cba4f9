/* sandbox-service/agent/group.h: the processes of a process group, as /proc tells them, and
 * those of all. */
#ifndef SANDBOX_AGENT_GROUP_H
#define SANDBOX_AGENT_GROUP_H

#include <sys/types.h>

/* Kills all of leader's group but leader itself, as far as they can be found. */
void group_kill_others(pid_t leader);

/* Kills all processes of the container but the agent, whatever group they are in, at one stroke: no
 * fork gets away. Does nothing when the agent is not its first process, as then others are not its
 * to end. */
void group_kill_everybody(void);

#endif
