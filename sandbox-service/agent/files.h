/* sandbox-service/agent/files.h: whole files in one message each, with the acting user's rights. */
#ifndef SANDBOX_AGENT_FILES_H
#define SANDBOX_AGENT_FILES_H

#include "common/base/str.h"
#include "sandbox-service/agent/user.h"

/* path is absolute (path_resolve). Errors as open_failed; "file_too_large" over out's ceiling. */
bool files_read(const char *path, const struct user *user, struct str *out,
                struct err *err) MUST_CHECK;

/* Makes path hold just content; missing folders are made. A link as the last component is followed.
 * A file that is user's own is replaced in one step (a reader sees the old or the new, never a
 * half) and keeps its mode; one of another owner, with several names or in a folder where user may
 * not create is rewritten in place. A file not there before has mode 0644. */
bool files_write(const char *path, const struct user *user, struct view content,
                 struct err *err) MUST_CHECK;

#endif
