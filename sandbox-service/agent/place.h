/* sandbox-service/agent/place.h: a path as the folder it lies in and its last name, for what makes,
 * replaces or moves names. With the rights of the moment. */
#ifndef SANDBOX_AGENT_PLACE_H
#define SANDBOX_AGENT_PLACE_H

#include "common/base/err.h"
#include "sandbox-service/agent/path.h"

#include <sys/types.h>

enum {
    PLACE_TEMP_SIZE = 40, /* of place_temp_name */
    PLACE_FOLDER_MODE = 0755,
};

/* name points into the path it was split from. */
struct place {
    char folder[PATH_SIZE];
    const char *name;
};

/* "is_a_directory" for a path that ends in a slash, "." or "..". */
bool place_split(const char *path, struct place *out, struct err *err) MUST_CHECK;

/* Like mkdir -p. False with errno. */
bool place_make_folders(const char *folder) MUST_CHECK;

/* The folder as a descriptor to name things by (O_PATH); make: makes it when it is missing. -1 with
 * errno. */
int place_open_folder(const char *path, bool make) MUST_CHECK;

/* A name that nobody else uses. */
bool place_temp_name(char out[PLACE_TEMP_SIZE], struct err *err) MUST_CHECK;
/* Whether it is one of those. */
bool place_is_temp_name(const char *name);

#endif
