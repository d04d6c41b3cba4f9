/* tests/unit/sandbox-service/engine_stage.h: a Docker engine of a test's own, with one container,
 * on a unix socket of the test's loop. */
#ifndef TESTS_UNIT_SANDBOX_SERVICE_ENGINE_STAGE_H
#define TESTS_UNIT_SANDBOX_SERVICE_ENGINE_STAGE_H

#include "common/event/loop.h"
#include "tests/support/folder.h"

enum { ENGINE_STATUS_SIZE = 16 };

/* What is at a path of the container. */
struct engine_path {
    const char *path; /* NULL: the end of a table */
    int status;       /* of the answer about it: 200, or 500 */
    const char *stat; /* its header, of 200 */
};
/* {"mode":...}, as the engine writes it. */
#define ENGINE_FOLDER "eyJtb2RlIjoyMTQ3NDg0MTQxfQ=="
#define ENGINE_FILE "eyJtb2RlIjo0MjB9"
#define ENGINE_LINK "eyJtb2RlIjoxMzQyMTgyMzl9"

/* Set before a request comes; read behind it. */
struct engine_stage {
    struct event_base *base; /* borrowed */
    struct evhttp *server;   /* owned */
    char socket_path[FOLDER_PATH_SIZE + 16];
    char status[ENGINE_STATUS_SIZE]; /* of the container: "running", "paused", "exited"; "": none */
    bool refuses;                    /* what changes a container: 500, and nothing changes */
    bool forgets;                    /* it is done, but the answer is 500 */
    const char *believes;            /* what it takes for the status, in so many answers */
    int believes_for;
    int acts;                        /* that were asked for */
    char act[ENGINE_STATUS_SIZE];    /* the last of them */
    const char *mounts;              /* its "Mounts", a JSON array; NULL: none */
    const struct engine_path *paths; /* what is not in the table is not there; NULL: nothing is */
    int look_ms;                     /* that each look at a path takes */
    int looks;                       /* at paths, that were answered */
};

void engine_stage_open(struct engine_stage *stage, struct loop *loop, const char *folder);
void engine_stage_close(struct engine_stage *stage);

#endif
