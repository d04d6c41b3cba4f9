/* sandbox-service/agent/walk.h: a walk through all that lies in a folder, one thing at a time, by
 * descriptors and through no link: it can't leave the tree, whatever is moved about in it. */
#ifndef SANDBOX_AGENT_WALK_H
#define SANDBOX_AGENT_WALK_H

#include "sandbox-service/agent/path.h"

#include <dirent.h>
#include <sys/stat.h>

enum {
    WALK_DEPTH_MAX = 128,
    WALK_BUFFER_SIZE = 8 * 1024,
};

enum walk_event {
    WALK_ENTER, /* a folder; what is in it follows */
    WALK_ITEM,  /* anything else */
    WALK_LEAVE, /* the folder again, behind what is in it */
    WALK_END,
    WALK_FAILED,
};

/* What a step came to: name in folder. Valid until the next one. */
struct walk_step {
    int folder;
    const char *name;
    int fd;       /* of a folder */
    size_t depth; /* 0: what the walk began with */
};

struct walk_frame {
    int fd;
    long next; /* where reading goes on behind what is below */
    char name[PATH_COMPONENT_MAX + 1];
};

struct walk {
    int folder;                        /* owned; where the root lies */
    char name[PATH_COMPONENT_MAX + 1]; /* of the root */
    bool consuming;                    /* what was told is removed before the next step */
    bool begun;
    struct walk_frame *frames; /* owned; the folders that are entered */
    size_t depth, capacity;
    size_t at, len; /* of the buffer, which belongs to the deepest */
    char item[PATH_COMPONENT_MAX + 1];
    _Alignas(struct dirent64) char buffer[WALK_BUFFER_SIZE];
};

/* From name in folder on; takes folder, also when it fails. The walk is ended with walk_close. */
void walk_open(struct walk *walk, int folder, const char *name, bool consuming);
void walk_close(struct walk *walk);

/* With the rights of the moment. Errors as open_failed; ERR_LIMIT "too_deep". What vanishes
 * meanwhile is left out. */
enum walk_event walk_next(struct walk *walk, struct walk_step *step, struct err *err) MUST_CHECK;

#endif
