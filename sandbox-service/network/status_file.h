/* sandbox-service/network/status_file.h: small files beside the sockets, in which people and
 * deploy/status read how the networks are. */
#ifndef SANDBOX_NETWORK_STATUS_FILE_H
#define SANDBOX_NETWORK_STATUS_FILE_H

#include "sandbox-service/config.h"

enum { STATUS_PATH_SIZE = CONFIG_PATH_SIZE + 32 };

/* run_dir/name, for both. */
void status_file_path(const char *run_dir, const char *name, char out[STATUS_PATH_SIZE]);
/* In the place of what was there, as a whole. A failure is a line in the log. */
void status_file_write(const char *run_dir, const char *name, const char *text);

#endif
