/* sandbox-service/agent/tools/beneath.h: opening folders below a folder, whatever links somebody
 * puts there at the same moment. */
#ifndef SANDBOX_AGENT_TOOLS_BENEATH_H
#define SANDBOX_AGENT_TOOLS_BENEATH_H

#include "common/base/cleanup.h"

#include <fcntl.h>

/* Opens the folder of that clean relative path ("": the one it starts from) and follows no link on
 * the way, nor at its end. flags: O_PATH or O_RDONLY; O_DIRECTORY and O_CLOEXEC are added. Returns
 * a descriptor, or -1 with errno; ELOOP: a link is in the way. */
int beneath_open(int folder, const char *path, int flags) MUST_CHECK;

/* The same step by step, for kernels without openat2. */
int beneath_open_stepwise(int folder, const char *path, int flags) MUST_CHECK;

/* Opens (O_PATH) the folder that path lies in; *name is path's last component. */
int beneath_open_parent(int folder, const char *path, const char **name) MUST_CHECK;

#endif
