/* sandbox-service/agent/tools/tar_header.h: how a member of a tar archive begins, in the form of
 * GNU tar, which every reader knows: names and numbers of any length, names of any bytes. The
 * library that reads archives can write them only together with libraries for every other format.
 */
#ifndef SANDBOX_AGENT_TOOLS_TAR_HEADER_H
#define SANDBOX_AGENT_TOOLS_TAR_HEADER_H

#include "common/base/str.h"

#include <stdint.h>
#include <sys/stat.h>

enum {
    TAR_BLOCK_SIZE = 512,
    TAR_END_SIZE = 2 * TAR_BLOCK_SIZE, /* zeros behind the last member */
};

/* Appends what comes before the content. path of a folder ends in '/'; target is that of a symbolic
 * link, else NULL. Of the status the kind, mode, owner, size and time are told. */
void tar_header_append(struct str *out, const char *path, const char *target,
                       const struct stat *status);

/* Zeros behind a content of that size. */
size_t tar_padding(uint64_t size);

#endif
