/* sandbox-service/agent/tools/made.h: what an extraction has made, in order, so that no name comes
 * twice and a failed one can be undone. */
#ifndef SANDBOX_AGENT_TOOLS_MADE_H
#define SANDBOX_AGENT_TOOLS_MADE_H

#include "common/base/list.h"
#include "common/base/map.h"

#include <sys/stat.h>
#include <time.h>

enum {
    MADE_MEMBERS_MAX = 10 * 1000,
    MADE_FOLDERS_MAX = 10 * 1000, /* of those that no member names */
};

enum made_kind { MADE_FILE, MADE_LINK, MADE_FOLDER };

/* Zeroed but for the name by made_add. */
struct made_item {
    struct map_node by_name;
    struct list in_order;
    enum made_kind kind;
    bool is_member; /* the archive names it; else it is a folder on the way to a member */
    bool is_new;    /* nothing of this name was there before */
    bool has_meta;  /* of a folder: mode and modified are to be set at the end */
    mode_t mode;
    struct timespec modified;
    char name[]; /* clean */
};

struct made {
    struct map by_name;
    struct list in_order;
    size_t member_count;
    size_t folder_count;
};

bool made_init(struct made *made, struct err *err) MUST_CHECK;
void made_free(struct made *made);

/* The item of a member that is about to be made, or of a folder on the way to one, which may turn
 * out to be a member later, and may be made once more when somebody has removed it meanwhile. Owned
 * by made. NULL: ERR_INVALID "archive_unsafe" for a second member of that name, ERR_LIMIT
 * "archive_too_large" for too many. */
struct made_item *made_add_member(struct made *made, const char *name, enum made_kind kind,
                                  struct err *err) MUST_CHECK;
struct made_item *made_add_folder(struct made *made, const char *name, struct err *err) MUST_CHECK;

/* NULL when there is none. */
struct made_item *made_find(const struct made *made, const char *name);

#endif
