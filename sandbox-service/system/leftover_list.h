/* sandbox-service/system/leftover_list.h: what lies about on a node and is nobody's any more, as it
 * is found: containers, ports, volumes of old agents, images. Only what carries this instance's
 * label is ever looked at. */
#ifndef SANDBOX_SYSTEM_LEFTOVER_LIST_H
#define SANDBOX_SYSTEM_LEFTOVER_LIST_H

#include "common/json/write.h"

enum {
    LEFTOVERS_MAX = 512, /* found at a time; the next clean-up finds the rest */
    LEFTOVER_NAME_SIZE = 256,
};

enum leftover_kind {
    LEFTOVER_CONTAINER,
    LEFTOVER_PORT,
    LEFTOVER_VOLUME, /* of an older agent */
    LEFTOVER_IMAGE,
    LEFTOVER_DISK, /* of a volume that no row tells of */
};

struct leftover {
    enum leftover_kind kind;
    char name[LEFTOVER_NAME_SIZE]; /* a sandbox's id, "<sandbox id>/<port>", a volume, an image */
    bool unknown; /* no row has ever told of it: the database may be an older one, put back */
    bool removed;
};

struct leftover_list {
    struct leftover items[LEFTOVERS_MAX];
    size_t count;
    bool truncated; /* there were more */
};

/* NULL when there is no place for it; what is too long for a name is no leftover. Valid until the
 * next call that changes the list. */
struct leftover *leftover_list_add(struct leftover_list *leftovers, enum leftover_kind kind,
                                   struct view name);
/* Does nothing when it is not there. */
void leftover_list_drop(struct leftover_list *leftovers, enum leftover_kind kind, struct view name);

/* What is older than before (seconds since 1970) is old. */
struct leftover_policy {
    int64_t before;
    const char *agent_volume; /* the one in use; others like it were of older agents */
    const char *instance;
};
/* Of GET /volumes, those that no container uses. */
bool leftover_list_add_volumes(struct leftover_list *leftovers, struct view body,
                               const struct leftover_policy *policy, struct err *err) MUST_CHECK;
/* Of GET /images/json. Without a tag by their id. Of those that come with a deployment only such
 * that no deployment has as its present one: all of those have the tag of a deployment. Never
 * images of templates: they have their own sweep. */
bool leftover_list_add_images(struct leftover_list *leftovers, struct view body,
                              const struct leftover_policy *policy, struct err *err) MUST_CHECK;

/* The names of one kind, as a JSON array. */
void leftover_list_write_names(const struct leftover_list *leftovers, enum leftover_kind kind,
                               struct str *out);
/* Members of the answer: leftovers [{kind, name, unknown, removed}], truncated. */
void leftover_list_write(const struct leftover_list *leftovers, struct json_writer *json);

#endif
