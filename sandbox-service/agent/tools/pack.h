/* sandbox-service/agent/tools/pack.h: a folder as a tar archive, in constant memory. */
#ifndef SANDBOX_AGENT_TOOLS_PACK_H
#define SANDBOX_AGENT_TOOLS_PACK_H

#include "common/base/err.h"

#include <stdio.h>

/* Writes what is below folder, with names relative to it, in a fixed order. Links are stored, a
 * file of several names once for each; devices, sockets and FIFOs are left out; owners are numbers.
 * What was written when it fails is no whole archive. Errors: those of open_failed, walk;
 * ERR_CONFLICT "file_changed" when a file shrinks meanwhile. */
bool pack(const char *folder, bool gzip, FILE *out, struct err *err) MUST_CHECK;

#endif
