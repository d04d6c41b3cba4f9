/* sandbox-service/network/command.h: runs another program to its end. Blocks: for worker threads.
 */
#ifndef SANDBOX_NETWORK_COMMAND_H
#define SANDBOX_NETWORK_COMMAND_H

#include "common/base/str.h"

#include <stdint.h>

/* argv[0] is an absolute path; no shell has a part in it. Gives the program input, collects what it
 * writes to stdout and stderr (up to output's ceiling; the rest is dropped), kills it at the
 * deadline. exit_status is its own, or -1 when a signal ended it. False when it could not be run or
 * took too long. */
bool command_run(const char *const *argv, struct view input, int64_t timeout_ms, struct str *output,
                 int *exit_status, struct err *err) MUST_CHECK;

#endif
