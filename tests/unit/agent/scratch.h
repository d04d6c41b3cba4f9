/* tests/unit/agent/scratch.h: a temporary folder of nobody's, for tests of file work. Takes root.
 */
#ifndef TESTS_UNIT_AGENT_SCRATCH_H
#define TESTS_UNIT_AGENT_SCRATCH_H

#include "sandbox-service/agent/path.h"
#include "sandbox-service/agent/user.h"
#include "tests/support/folder.h"

#include <sys/stat.h>

extern const struct user scratch_nobody; /* who acts */
extern const struct user scratch_root;

struct scratch {
    char folder[FOLDER_PATH_SIZE];
};

void scratch_open(struct scratch *scratch);
void scratch_close(struct scratch *scratch);

/* The path of name below the folder, good until four calls later; "" is the folder. */
const char *scratch_at(struct scratch *scratch, const char *name);

/* Made as root and given away. */
void scratch_file(struct scratch *scratch, const char *name, const char *content, mode_t mode,
                  const struct user *owner);
void scratch_folder(struct scratch *scratch, const char *name, mode_t mode,
                    const struct user *owner);

struct stat scratch_stat(struct scratch *scratch, const char *name);
bool scratch_exists(struct scratch *scratch, const char *name);
void scratch_expect(struct scratch *scratch, const char *name, const char *content);
/* How many names are in the folder. */
size_t scratch_count(struct scratch *scratch, const char *name);

#endif
