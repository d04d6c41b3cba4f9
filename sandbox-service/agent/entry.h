/* sandbox-service/agent/entry.h: what is told about one file, folder or link. */
#ifndef SANDBOX_AGENT_ENTRY_H
#define SANDBOX_AGENT_ENTRY_H

#include "common/base/clock.h"
#include "common/contracts/agent_files.h"
#include "common/json/write.h"
#include "sandbox-service/agent/names.h"

#include <sys/stat.h>

struct entry {
    char *path;   /* owned; absolute */
    char *target; /* owned; NULL: it is no link */
    mode_t mode;
    uid_t uid;
    gid_t gid;
    int64_t size;
    struct timespec modified_at;
};

/* Fills entry from what lies at name in folder (with AT_EMPTY_PATH's meaning for ""), the last link
 * not followed. Copies path. False with errno; entry is empty then. */
bool entry_load(struct entry *entry, int folder, const char *name, const char *path) MUST_CHECK;
void entry_free(struct entry *entry);

/* One object; name is NULL inside an array. */
void entry_write(struct json_writer *writer, const char *name, const struct entry *entry,
                 struct names *names);

void entry_format_mode(mode_t mode, char out[FILE_MODE_SIZE]);
void entry_format_time(const struct timespec *time, char out[CLOCK_ISO_SIZE]);

#endif
