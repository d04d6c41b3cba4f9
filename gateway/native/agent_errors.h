/* gateway/native/agent_errors.h: errors that the agent answers with, as errors of ours. */
#ifndef GATEWAY_NATIVE_AGENT_ERRORS_H
#define GATEWAY_NATIVE_AGENT_ERRORS_H

#include "common/base/err.h"
#include "common/base/view.h"

/* Reads {"type":"error","error","code"} into err. */
void agent_error_read(struct view text, struct err *err);
/* The error of a code alone, as a stream that was reset has one; message may be empty. */
void agent_error_make(struct view code, struct view message, struct err *err);
void agent_error_of_code(const char *code, struct err *err);

#endif
