/* sandbox-service/agent/tools/extraction.h: members of an archive put below a folder, with the
 * rights of the process. Nothing is written through a link, a file or link that was there before is
 * replaced in one step, a folder stays. */
#ifndef SANDBOX_AGENT_TOOLS_EXTRACTION_H
#define SANDBOX_AGENT_TOOLS_EXTRACTION_H

#include "sandbox-service/agent/path.h"
#include "sandbox-service/agent/tools/made.h"

#include <stdint.h>

enum { EXTRACTION_TEMP_SIZE = 40 };

struct extraction {
    int root; /* owned */
    char folder[PATH_SIZE];
    size_t kept_len; /* so much of folder was there before */
    struct made made;
};

/* Opens the folder, makes it and those above it if they are missing. Zero the struct first;
 * extraction_close in any case. */
bool extraction_open(struct extraction *extraction, const char *folder, struct err *err) MUST_CHECK;
void extraction_close(struct extraction *extraction);

/* What a member is to be; the name is clean and not empty. */
struct extraction_member {
    const char *name;
    mode_t mode; /* permission bits */
    struct timespec modified;
};

bool extraction_add_folder(struct extraction *extraction, const struct extraction_member *member,
                           struct err *err) MUST_CHECK;
/* target has been checked. */
bool extraction_add_symlink(struct extraction *extraction, const struct extraction_member *member,
                            const char *target, struct err *err) MUST_CHECK;
/* target is the clean name of a file that this extraction has made. */
bool extraction_add_hardlink(struct extraction *extraction, const struct extraction_member *member,
                             const char *target, struct err *err) MUST_CHECK;

/* A file on its way: it has another name until it is whole. */
struct extraction_file {
    int fd;     /* owned; -1: none */
    int parent; /* owned; -1: none */
    const char *name;
    char temp[EXTRACTION_TEMP_SIZE];
    struct made_item *item;
};
bool extraction_begin_file(struct extraction *extraction, const struct extraction_member *member,
                           struct extraction_file *out, struct err *err) MUST_CHECK;
bool extraction_write(struct extraction_file *file, const void *bytes, size_t len, uint64_t offset,
                      struct err *err) MUST_CHECK;
/* size: of the whole file, which may end in a hole. */
bool extraction_end_file(struct extraction_file *file, const struct extraction_member *member,
                         uint64_t size, struct err *err) MUST_CHECK;
/* Does nothing after a successful end. */
void extraction_drop_file(struct extraction_file *file);

/* Modes and times of folders, which are set when nothing more comes into them. */
bool extraction_finish(struct extraction *extraction, struct err *err) MUST_CHECK;

/* Removes what was made and was not there before. */
void extraction_undo(struct extraction *extraction);

#endif
