/* sandbox-service/sandbox/creation.h: one creation under way; inside of create.h. */
#ifndef SANDBOX_SANDBOX_CREATION_H
#define SANDBOX_SANDBOX_CREATION_H

#include "common/base/map.h"
#include "common/contracts/agent.h"
#include "common/contracts/templates.h"
#include "sandbox-service/credential/agent_dir.h"
#include "sandbox-service/docker/abilities.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/docker/image.h"
#include "sandbox-service/network/placement.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/starts.h"
#include "sandbox-service/sandbox/store.h"
#include "sandbox-service/volumes/hold.h"

enum { HOST_NAME_LEN = 12 };

/* In the order of what happens: the row is inserted; where one of the pool was claimed with it, the
 * rest is pool/claim.h's. Else a restricted one gets its address and rules; volumes are mounted;
 * the image is asked for when it is not remembered; a turn is waited for; directory and token are
 * made; the container starts while the row is told what the image says. When both are done the
 * answer goes out, and the creation stays known until the agent connects. Once there is a row,
 * every failure goes through creation_fail(). */
struct creation {
    struct map_node by_key;
    struct sandboxes *sandboxes; /* borrowed */
    struct trace trace;          /* of the request that began it */
    struct audit_act *act;       /* owned until it is known what came of it */
    struct list waiters;
    struct timer deadline; /* armed in the queue, and after the answer */
    struct timer repeat;   /* somebody asked again after the answer */
    int64_t began_ms;
    int64_t until_ms; /* monotonic */
    struct store_call row;
    struct volume_hold volumes;
    bool has_secret_files;
    struct image_call image_call;
    struct start_turn turn;
    struct placement *placement; /* owned; of a restricted one */
    struct container_call update;
    const char *asked_network; /* a literal; this and the next four: of another try */
    const char *mode;          /* the same: of store_claim */
    char dead_id[ID_SIZE];
    int claims;         /* that were in vain */
    struct str message; /* the request */
    bool is_for_pool;   /* nobody asked for it */
    int parts_left;     /* of the start: container, row */
    bool aborted;       /* its row has ended, or is to */
    bool connected;     /* its agent has */
    bool answered;      /* well; only the agent is waited for */
    struct wire_image image;
    struct container_spec spec; /* its strings are the members below */
    char key[ID_SIZE]; /* what it is asked for by; its sandbox's id too, unless it was claimed */
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    char image_name[IMAGE_NAME_SIZE];
    char container[CONTAINER_NAME_SIZE];
    char host_name[HOST_NAME_LEN + 1];
    char env[sizeof AGENT_ENV_SANDBOX_ID + 1 + ID_SIZE];
    char network[CONTAINER_NAME_SIZE];
    char cpus[ABILITIES_CPU_LIST_SIZE];
    char runtime[TEMPLATE_RUNTIME_MAX + 1]; /* "": the engine's */
    char run_dir[AGENT_DIR_PATH_SIZE];
    struct str info; /* the answer */
    struct err err;  /* the first failure */
};

/* Known by key from here on. NULL on failure. */
struct creation *creation_new(struct sandboxes *sandboxes, const char key[ID_SIZE],
                              int64_t deadline_ms, struct err *err) MUST_CHECK;

/* The first step. Copies from request; network and mode (of store_claim) are literals; network "":
 * none was asked for. */
void creation_begin(struct creation *creation, const struct sandbox_create *request,
                    const char *network, const char *mode);
/* The same for one that will wait in the pool. */
void creation_begin_warm(struct creation *creation, const struct store_warm *warm);
/* The first step once more, without the sandbox that it was given. */
void creation_again(struct creation *creation, const char *mode);
/* Whether its row has ended, or its user gave it up; then creation->err says so. */
bool creation_has_ended(struct creation *creation) MUST_CHECK;
/* Ends the row; creation->err says why. */
void creation_fail(struct creation *creation);
/* Fails one that waits for its turn. */
void creation_give_up(struct creation *creation);
/* When the deadline's timer fires. */
void creation_deadline(void *arg);

/* The only way out of one that failed before the answer, and without a row. */
void creation_finish_failed(struct creation *creation);
/* Tells all who wait. */
void creation_answer(struct creation *creation, const struct err *err);
/* Frees the creation. */
void creation_release(struct creation *creation);
/* The same when it was answered, and its agent has come or its row has ended. */
void creation_release_if_over(struct creation *creation);

#endif
