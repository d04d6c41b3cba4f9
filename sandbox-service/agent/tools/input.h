/* sandbox-service/agent/tools/input.h: the bytes of an archive, unpacked where they are packed. The
 * check sum and the length that gzip gives are checked, and an end that comes too early is seen. */
#ifndef SANDBOX_AGENT_TOOLS_INPUT_H
#define SANDBOX_AGENT_TOOLS_INPUT_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum input_format { INPUT_TAR, INPUT_TAR_GZ, INPUT_AUTO };

struct input;

/* Borrows fd until input_free. NULL when it can't be read or memory is out. */
struct input *input_new(int fd, enum input_format format, struct err *err) MUST_CHECK;
void input_free(struct input *input);
/* For AUTO. */
void input_release(struct input **input);

/* The next bytes, valid until the next call; none at the end. ERR_INVALID "archive_malformed". */
bool input_read(struct input *input, struct view *out, struct err *err) MUST_CHECK;

/* Bytes that came in, and that went out of input_read. */
uint64_t input_taken(const struct input *input);
uint64_t input_given(const struct input *input);

/* Reads on to the end, so that whoever sends can finish. What follows an archive is its padding:
 * more of it than can be is "archive_malformed". */
bool input_drain(struct input *input, struct err *err) MUST_CHECK;

#endif
