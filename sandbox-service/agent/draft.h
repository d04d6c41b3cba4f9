/* sandbox-service/agent/draft.h: a file being written, which takes its place only when it is whole.
 *
 * A file that is the user's own is replaced in one step (a reader sees the old or the new, never a
 * half) and keeps its mode; one of another owner, with several names or in a folder where the user
 * may not create is rewritten in place at the end. A link as the last component is followed.
 *
 * All of it with the rights of the moment, which are to be those of the user (acting.h). */
#ifndef SANDBOX_AGENT_DRAFT_H
#define SANDBOX_AGENT_DRAFT_H

#include "sandbox-service/agent/place.h"
#include "sandbox-service/agent/user.h"

struct draft_options {
    mode_t mode;   /* of the file */
    bool has_mode; /* else: that of the file that was there, or 0644 */
    bool parents;  /* missing folders are made */
};

struct draft {
    int fd;                     /* what is written; -1: there is only the target to write to */
    int folder;                 /* where temp lies, to become name */
    char temp[PLACE_TEMP_SIZE]; /* empty: fd has no name */
    char name[PATH_COMPONENT_MAX + 1];
    int target; /* the file that is rewritten in place; -1: temp takes its place */
    mode_t mode;
    bool has_mode;
    bool existed; /* there was a file by this name */
    off_t poured; /* bytes of fd that have gone to the target */
};

enum draft_end {
    DRAFT_DONE,
    DRAFT_POUR, /* what was written goes into the file that is there: draft_pour, until it ends */
    DRAFT_FAILED,
};

/* path is absolute. On success the caller ends it with draft_close. Errors as open_failed. */
bool draft_open(struct draft *draft, const char *path, const struct user *user,
                const struct draft_options *options, struct err *err) MUST_CHECK;

/* When fd is -1: makes a nameless file elsewhere to write to. */
bool draft_stage(struct draft *draft, struct err *err) MUST_CHECK;

bool draft_write(const struct draft *draft, struct view bytes, struct err *err) MUST_CHECK;

/* All is written: puts it where it belongs, or says that it must be poured. */
enum draft_end draft_finish(struct draft *draft, struct err *err) MUST_CHECK;
/* One piece of at most 256 KiB. */
enum draft_end draft_pour(struct draft *draft, struct err *err) MUST_CHECK;

/* Replaces the content of the target at once: where fd is -1 and the content is at hand. */
bool draft_rewrite(const struct draft *draft, struct view content, struct err *err) MUST_CHECK;

/* Removes what has not taken its place. */
void draft_close(struct draft *draft);

#endif
