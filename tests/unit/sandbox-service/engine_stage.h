/* tests/unit/sandbox-service/engine_stage.h: a Docker engine of a test's own, with one container,
 * on a unix socket of the test's loop. */
#ifndef TESTS_UNIT_SANDBOX_SERVICE_ENGINE_STAGE_H
#define TESTS_UNIT_SANDBOX_SERVICE_ENGINE_STAGE_H

#include "common/event/loop.h"
#include "tests/support/folder.h"

enum { ENGINE_STATUS_SIZE = 16 };

/* Set before a request comes; read behind it. */
struct engine_stage {
    struct evhttp *server; /* owned */
    char socket_path[FOLDER_PATH_SIZE + 16];
    char status[ENGINE_STATUS_SIZE]; /* of the container: "running", "paused", "exited"; "": none */
    bool refuses;                    /* what changes a container: 500, and nothing changes */
    bool forgets;                    /* it is done, but the answer is 500 */
    const char *believes;            /* what it takes for the status, in so many answers */
    int believes_for;
    int acts;                     /* that were asked for */
    char act[ENGINE_STATUS_SIZE]; /* the last of them */
};

void engine_stage_open(struct engine_stage *stage, struct loop *loop, const char *folder);
void engine_stage_close(struct engine_stage *stage);

#endif
