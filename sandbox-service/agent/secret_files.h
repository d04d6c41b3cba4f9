/* sandbox-service/agent/secret_files.h: the secrets of a sandbox that are files. */
#ifndef SANDBOX_AGENT_SECRET_FILES_H
#define SANDBOX_AGENT_SECRET_FILES_H

#include "common/base/err.h"
#include "common/json/read.h"

#include <sys/types.h>

/* Makes the folder hold these files and no others, each whole at any time, readable for that user
 * alone. Without any files it does not touch a folder that is the image's: only one with memory
 * mounted there was made for them. Names are as
 * secret_file_name_check wants them. ERR_INTERNAL when some could not be written: those before it
 * are. */
bool secret_files_write(const char *folder, const struct json_pairs *files, uid_t uid, gid_t gid,
                        struct err *err) MUST_CHECK;

#endif
