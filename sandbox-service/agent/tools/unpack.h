/* sandbox-service/agent/tools/unpack.h: a tar archive from outside, extracted below a folder.
 *
 * Refused: absolute names, "..", links that lead outside or to what the archive did not bring,
 * devices and FIFOs, set-uid bits, a second member of the same name, anything behind a link, more
 * members, depth or bytes than allowed, an archive that is cut off. Owners are not taken over. */
#ifndef SANDBOX_AGENT_TOOLS_UNPACK_H
#define SANDBOX_AGENT_TOOLS_UNPACK_H

#include "sandbox-service/agent/tools/input.h"

enum {
    UNPACK_BYTES_MAX = 100 * 1024 * 1024,
    UNPACK_RATIO_MAX = 100,                /* bytes out for each byte in */
    UNPACK_RATIO_FREE_BYTES = 1024 * 1024, /* so much may come out of next to nothing */
};

struct unpack_options {
    enum input_format format;
    uint64_t bytes_max; /* of all files together, holes included */
};

struct unpack_result {
    uint64_t entries;
    uint64_t bytes;
};

/* Borrows fd. On failure nothing is left of what was new; what was replaced stays replaced. Errors:
 * ERR_INVALID "archive_unsafe", "archive_malformed", ERR_LIMIT "archive_too_large", and those of
 * open_failed. */
bool unpack(int fd, const char *folder, const struct unpack_options *options,
            struct unpack_result *out, struct err *err) MUST_CHECK;

#endif
