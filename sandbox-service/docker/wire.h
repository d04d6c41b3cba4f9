/* sandbox-service/docker/wire.h: the JSON that goes to and comes from the Docker Engine. What comes
 * is read by schemas that skip what we do not use; strings read are copied into bounded buffers. */
#ifndef SANDBOX_DOCKER_WIRE_H
#define SANDBOX_DOCKER_WIRE_H

#include "common/base/id.h"
#include "common/base/str.h"
#include "common/json/read.h"

#include <stdint.h>

enum {
    WIRE_ID_SIZE = 65,        /* 64 hex digits: containers, networks */
    WIRE_IMAGE_ID_SIZE = 136, /* an algorithm and its digits */
    WIRE_NAME_SIZE = 128,
    WIRE_STATUS_SIZE = 16,
    WIRE_ERROR_SIZE = 256,
    WIRE_PATH_SIZE = 1024,
    WIRE_USER_SIZE = 80,
    WIRE_ADDRESS_SIZE = 40,
    WIRE_RUNTIMES_SIZE = 512,
    WIRE_NETWORKS_SIZE = 256,
};

/* Labels of everything we make. */
#define LABEL_SANDBOX "insien.sandbox"
#define LABEL_NODE "insien.node"
#define LABEL_INSTANCE "insien.instance"
/* A sandbox's container is called by its id behind this. Labels alone do not make one: a build's
 * containers have those of its Dockerfile. */
#define CONTAINER_NAME_PREFIX "insien-"
/* Of the layers that a build makes on its way; its value is the instance. */
#define LABEL_BUILD "insien.build"

/* A folder of the host, seen inside. Strings are borrowed as those of the spec. */
struct container_mount {
    const char *source;
    const char *target;
    bool read_only;
};

/* All strings are borrowed while the spec is in use. NULL leaves out. */
struct container_spec {
    const char *name;
    const char *image;
    const char *const *command; /* NULL-terminated: the program and its arguments */
    const char *env;            /* one NAME=value */
    const char *hostname;
    const char *sandbox_id;
    const char *node;
    const char *instance;
    const char *runtime;      /* NULL: the engine's default */
    const char *network;      /* NULL: no network at all */
    const char *address;      /* on it; NULL: the engine chooses */
    const char *name_server;  /* whom the engine's own asks; NULL: the host's */
    const char *agent_volume; /* seen at AGENT_DIR */
    bool agent_volume_writable;
    const char *run_dir;                  /* of the host; seen read-only at AGENT_RUN_DIR */
    const struct container_mount *mounts; /* borrowed */
    size_t mount_count;
    bool has_secret_files; /* SECRET_FILES_DIR, in memory */
    const char *seccomp;   /* the profile's JSON text */
    int64_t memory_bytes;
    int64_t cpu_milli;
    int64_t pids;
    int64_t open_files;
    int64_t file_bytes;           /* of one file, wherever it lies; 0: not limited */
    int64_t disk_bytes;           /* of its own layer, where the engine holds it; 0: not limited */
    const char *cpus;             /* "0,3"; NULL: all */
    const char *lxcfs_dir;        /* of the host; NULL: /proc is the machine's own */
    bool is_tenant_root_possible; /* keeps what sudo needs; otherwise nothing gains privileges */
    bool is_agent;                /* keeps what the agent, as PID 1, needs */
    bool read_only_root;
};

/* The body of POST /containers/create; the caller frees it. NULL on failure. */
char *wire_write_create(const struct container_spec *spec, struct err *err) MUST_CHECK;

/* The body of POST /containers/x/update: the spec's limits, less those on files, which the engine
 * sets at the start alone. The caller frees it. */
char *wire_write_update(const struct container_spec *spec, struct err *err) MUST_CHECK;

/* {"Id": ...} of a create. */
bool wire_read_id(struct view body, char id[WIRE_ID_SIZE], struct err *err) MUST_CHECK;

/* {"message": ...} of an error; what is no such thing is told as it is, cut and cleaned. */
void wire_read_message(struct view body, char *out, size_t size);

/* {"StatusCode": ...} of POST /containers/x/wait. */
bool wire_read_exit(struct view body, int64_t *exit_code, struct err *err) MUST_CHECK;

struct wire_container {
    bool running; /* also while paused */
    char status[WIRE_STATUS_SIZE];
    int64_t exit_code;
    bool oom_killed;
    char error[WIRE_ERROR_SIZE];
    int64_t written_bytes;           /* its own layer; -1 unless it was asked for */
    char address[WIRE_ADDRESS_SIZE]; /* on its first network; "" without one */
};
/* GET /containers/x/json. */
bool wire_read_container(struct view body, struct wire_container *out, struct err *err) MUST_CHECK;

/* Where something is mounted in a container. */
typedef void wire_mount_fn(struct view target, void *arg);
/* "Mounts" of GET /containers/x/json. on_mount may have been called before a mistake is found. */
bool wire_read_mounts(struct view body, wire_mount_fn *on_mount, void *arg,
                      struct err *err) MUST_CHECK;

/* The header of HEAD /containers/x/archive: whether the path's last part is a folder, and no
 * symbolic link to one. */
bool wire_read_path_stat(struct view header, bool *is_folder, struct err *err) MUST_CHECK;

struct wire_listed {
    char id[WIRE_ID_SIZE];
    char sandbox_id[ID_SIZE]; /* by label and name; "": it is no sandbox's */
    char state[WIRE_STATUS_SIZE];
    char networks[WIRE_NETWORKS_SIZE]; /* that it is on: as the runtimes of wire_info */
};
typedef void wire_listed_fn(const struct wire_listed *container, void *arg);
/* Whose container it is, of "Labels" and "Names" as a list has them; "" and false: nobody's. */
bool wire_find_sandbox(const struct json_pairs *labels, const struct json_strings *names,
                       char id[ID_SIZE]);
/* GET /containers/json. on_container may have been called before a mistake is found. */
bool wire_read_list(struct view body, wire_listed_fn *on_container, void *arg,
                    struct err *err) MUST_CHECK;

struct wire_event {
    char action[WIRE_STATUS_SIZE]; /* "die", "oom"; "" when longer than any we know */
    char sandbox_id[ID_SIZE];      /* by label and name; "": of no sandbox's container */
};
/* One line of GET /events. */
bool wire_read_event(struct view line, struct wire_event *out, struct err *err) MUST_CHECK;

struct wire_info {
    uint32_t remapped_uid; /* what root inside is outside; 0: the same */
    uint32_t remapped_gid;
    bool live_restore;
    char root_dir[WIRE_PATH_SIZE]; /* where it keeps its data; "" when longer than any path */
    char version[32];
    char runc[64];                 /* its version; "" when that is not told */
    char driver[WIRE_STATUS_SIZE]; /* of storage: "overlay2"; "" when longer than any we know */
    int64_t memory_bytes;          /* 0: not told, as the next */
    int64_t cpus;
    char runtimes[WIRE_RUNTIMES_SIZE]; /* their names, with commas; what does not fit is left out */
};
/* GET /info. */
bool wire_read_info(struct view body, struct wire_info *out, struct err *err) MUST_CHECK;
/* Whether a list with commas has the name. */
bool wire_list_has(const char *list, struct view name);

struct wire_image {
    char id[WIRE_IMAGE_ID_SIZE]; /* "sha256:..."; "" when the engine does not tell */
    char user[WIRE_USER_SIZE];   /* "" when the image names none */
    char work_dir[WIRE_PATH_SIZE];
};
/* GET /images/x/json. */
bool wire_read_image(struct view body, struct wire_image *out, struct err *err) MUST_CHECK;

struct wire_network {
    char bridge[WIRE_NAME_SIZE];
    char subnet[WIRE_ADDRESS_SIZE];
    char gateway[WIRE_ADDRESS_SIZE]; /* of what is written; reading does not tell it */
    bool icc_off;
    bool ipv6;
};
/* GET /networks/x. */
bool wire_read_network(struct view body, struct wire_network *out, struct err *err) MUST_CHECK;
/* The body of POST /networks/create; the caller frees it. */
char *wire_write_network(const char *name, const char *instance, const struct wire_network *network,
                         struct err *err) MUST_CHECK;

#endif
