/* sandbox-service/docker/abilities.h: what the engine can do for the limits of sandboxes. It is
 * tried, not looked up: whether a file system has quotas the engine tells only by refusing. */
#ifndef SANDBOX_DOCKER_ABILITIES_H
#define SANDBOX_DOCKER_ABILITIES_H

#include "sandbox-service/docker/container.h"

enum {
    ABILITIES_CPUS_MAX = 512,       /* with more, sandboxes are bound to none */
    ABILITIES_CPU_LIST_SIZE = 2048, /* the names of so many, with commas */
};

struct abilities {
    bool limits_disk;      /* of a container's own layer */
    int64_t cpus;          /* that a container can be bound to: 0 to cpus - 1; 0: none */
    int64_t memory_mb;     /* that may be promised; 0: no bound. The caller's to set */
    const char *lxcfs_dir; /* borrowed; NULL: there is none */
};

struct abilities_options {
    const char *instance;         /* borrowed until done */
    const struct wire_info *info; /* copied */
    bool binds_cpus;              /* whether that is wanted */
    const char *lxcfs_dir;        /* borrowed for ever; "none": not wanted */
};

/* err NULL: they are known. */
typedef void abilities_known_fn(const struct err *err, void *arg);

/* Lies in the caller's request; belongs to docker until done. */
struct abilities_call {
    struct docker *docker; /* borrowed */
    struct docker_call call;
    struct container_call removal;
    struct abilities *out; /* borrowed */
    struct abilities found;
    struct err err;       /* of a trial that the engine did not answer */
    const char *instance; /* borrowed */
    int trial;
    int64_t cpus; /* to be tried */
    bool tries_disk;
    char name[CONTAINER_NAME_SIZE];
    char cpu_list[ABILITIES_CPU_LIST_SIZE];
    abilities_known_fn *done;
    void *arg;
};
/* Fills out but its memory_mb, all at once and just before done: until then, and when the engine
 * does not answer, what was known holds. Needs the empty image. Looks into lxcfs_dir, which blocks
 * for as long as lxcfs does. done comes exactly once, later, on the loop. */
void abilities_find(struct docker *docker, struct abilities_call *call,
                    const struct abilities_options *options, struct abilities *out,
                    abilities_known_fn *done, void *arg);

#endif
