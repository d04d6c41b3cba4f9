/* sandbox-service/agent/open.h: opening what a tenant named, without being led astray: regular
 * files only, never the agent's own, and no waiting for the other end of a FIFO. */
#ifndef SANDBOX_AGENT_OPEN_H
#define SANDBOX_AGENT_OPEN_H

#include "common/base/err.h"
#include "common/base/str.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Opens a path or a name below folder (AT_FDCWD: the agent's own). O_CLOEXEC, O_NONBLOCK and
 * O_NOCTTY are added to flags; the links in /proc that stand for open files are not followed.
 * Returns a descriptor or -1 with errno. */
int open_at(int folder, const char *path, int flags, mode_t mode) MUST_CHECK;

/* What lies below the folder root, reached through no link at all. -1 with errno. */
int open_beneath(int root, const char *path, int flags) MUST_CHECK;

/* Whether an open file or folder is the agent's own in /proc, which nobody else may look into. */
bool open_is_our_own(int fd);

/* A regular file, read or written with the rights of the moment. stat_out may be NULL. Returns -1
 * and fills err as open_failed does; also "is_a_directory", "not_a_file". */
int open_regular(const char *path, int flags, struct stat *stat_out, struct err *err) MUST_CHECK;

/* Appends all that is left to read. ERR_LIMIT "file_too_large" over out's ceiling. */
bool open_read_all(int fd, struct str *out, struct err *err) MUST_CHECK;

/* What an errno about path means to a client: "file_not_found", "permission_denied",
 * "not_a_directory", "is_a_directory", "not_a_file", "no_space", "invalid_path", "file_busy",
 * "file_exists", "directory_not_empty", "cross_device", "busy", else
 * ERR_INTERNAL. Returns false. */
bool open_failed(struct err *err, int error_number, const char *path);

#endif
