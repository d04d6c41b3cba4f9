/* sandbox-service/volumes/loop.h: files as block devices (loop(4)). Blocks: for worker threads. */
#ifndef SANDBOX_VOLUMES_LOOP_H
#define SANDBOX_VOLUMES_LOOP_H

#include "common/base/err.h"

enum { LOOP_PATH_SIZE = 32 };

/* Makes a device of the open file, which the device keeps open. It is gone with its last user: the
 * caller holds it by the descriptor that this returns (close_fd) until it is mounted. Negative on
 * failure: ERR_UNAVAILABLE "volumes_unavailable". */
int loop_attach(int file_fd, char path[LOOP_PATH_SIZE], struct err *err) MUST_CHECK;

/* Opens the device that has the open file already: a descriptor to hold as above; negative: there
 * is none. Two devices with one file system on them would destroy it. */
int loop_find(int file_fd, char path[LOOP_PATH_SIZE]) MUST_CHECK;

#endif
