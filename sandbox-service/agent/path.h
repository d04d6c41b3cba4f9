/* sandbox-service/agent/path.h: what a path in a request stands for. */
#ifndef SANDBOX_AGENT_PATH_H
#define SANDBOX_AGENT_PATH_H

#include "common/base/err.h"
#include "common/base/view.h"
#include "common/contracts/agent.h"

enum {
    PATH_SIZE = PATH_BYTES_MAX, /* with the NUL: what the kernel takes */
    PATH_COMPONENT_MAX = 255,
};

/* Makes path absolute: "~" and "~/..." from home, other relative ones from work_dir. "." and empty
 * components are left out; nothing is looked up, so ".." and links stay as they are. ERR_INVALID
 * "invalid_path" for an empty or too long path, one with a NUL or with a component over
 * PATH_COMPONENT_MAX bytes. */
bool path_resolve(struct view path, const char *work_dir, const char *home, char out[PATH_SIZE],
                  struct err *err) MUST_CHECK;

#endif
