/* sandbox-service/agent/harden.h: what the agent does to itself before anything else, so that
 * nothing in the container can look into it, stop it or get hold of what it has open. */
#ifndef SANDBOX_AGENT_HARDEN_H
#define SANDBOX_AGENT_HARDEN_H

#include "common/base/err.h"

bool harden(struct err *err) MUST_CHECK;

#endif
