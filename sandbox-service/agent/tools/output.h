/* sandbox-service/agent/tools/output.h: bytes to a file, packed with gzip if asked. The same bytes
 * in give the same bytes out. */
#ifndef SANDBOX_AGENT_TOOLS_OUTPUT_H
#define SANDBOX_AGENT_TOOLS_OUTPUT_H

#include "common/base/err.h"

#include <stdio.h>

struct output;

/* Borrows file until output_free. */
struct output *output_new(FILE *file, bool pack, struct err *err) MUST_CHECK;
void output_free(struct output *output);

bool output_write(struct output *output, const void *bytes, size_t len, struct err *err) MUST_CHECK;
/* What is still held back, and the end. Nothing may be written afterwards. */
bool output_finish(struct output *output, struct err *err) MUST_CHECK;

#endif
