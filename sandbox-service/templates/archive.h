/* sandbox-service/templates/archive.h: what a build gets: the Dockerfile, and behind it the
 * folder's own archive. */
#ifndef SANDBOX_TEMPLATES_ARCHIVE_H
#define SANDBOX_TEMPLATES_ARCHIVE_H

#include "common/base/str.h"

enum { ARCHIVE_BLOCK = 512, ARCHIVE_NAME_MAX = 99 };

/* Appends one file of root's that all may read (ustar, POSIX.1-1988). ERR_INTERNAL for a name that
 * is too long; running out of room is out's to tell. */
bool archive_add_file(struct str *out, const char *name, struct view content,
                      struct err *err) MUST_CHECK;
/* The end of an archive. */
void archive_end(struct str *out);

/* Whether the engine finds in an archive of somebody's what it weighs: folders, files, links and
 * devices, and nothing that grows when it is unpacked (sparse files, compression). Empty is fine.
 * ERR_INVALID "invalid_folder", with what is not taken. */
bool archive_check(struct view archive, struct err *err) MUST_CHECK;

#endif
