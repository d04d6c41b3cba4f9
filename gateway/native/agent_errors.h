/* gateway/native/agent_errors.h: errors that the agent answers with, as errors of ours. */
#ifndef GATEWAY_NATIVE_AGENT_ERRORS_H
#define GATEWAY_NATIVE_AGENT_ERRORS_H

#include "common/base/err.h"
#include "common/base/view.h"

/* Reads {"type":"error","error","code"} into err. */
void agent_error_read(struct view text, struct err *err);

#endif
