/* sandbox-service/agent/watch.h: what changes in a file, a folder or all folders below it, as texts
 * of a stream: {"type":"watchEvent","streamId","event","path"[,"from"]}. */
#ifndef SANDBOX_AGENT_WATCH_H
#define SANDBOX_AGENT_WATCH_H

#include "common/contracts/agent_files.h"
#include "sandbox-service/agent/reply.h"
#include "sandbox-service/agent/user.h"

struct chores;
struct streams;
struct watches; /* all of them */

enum {
    WATCHES_MAX = 64,
    WATCH_FOLDERS_MAX = 8192, /* of one watch */
    WATCH_MOVE_MS = 20,       /* so long the second half of a move is waited for */
};

/* chores and streams are borrowed and must be freed first: that ends the watches. */
struct watches *watches_new(struct chores *chores, struct streams *streams,
                            struct err *err) MUST_CHECK;
/* NULL is fine. */
void watches_free(struct watches *watches);

/* Answers once: watchResponse when every folder is watched, else "too_many_folders", "busy",
 * "stream_in_use" or as open_failed says. path is absolute and copied.
 *
 * Events: create, modify, remove, move (from: its path before), attrib. A folder that appears is
 * watched and what is in it told as create, each name once. What the kernel or the connection could
 * not take is told as one "overflow", with every folder watched again: the client looks for itself
 * then. While the connection is behind events wait in the kernel. A folder that the user may not
 * read is left out. When the path itself goes away: its remove, then reset "file_not_found"; when
 * there come to be too many folders: reset "too_many_folders". */
void watch_begin(struct watches *watches, const struct reply *reply, const char *path,
                 const struct user *user, const struct agent_watch *request);

/* Ends the watch on the stream of this connection: unwatchResponse, then a reset without a code; or
 * "watch_not_found". */
void watch_end(struct watches *watches, const struct reply *reply,
               const struct agent_unwatch *request);

#endif
