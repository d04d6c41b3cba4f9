/* tests/unit/gateway/record_stage.h: a recorder, and the auth-service that it tells its records to,
 * played by the test on the same loop. */
#ifndef TESTS_UNIT_GATEWAY_RECORD_STAGE_H
#define TESTS_UNIT_GATEWAY_RECORD_STAGE_H

#include "common/base/str.h"
#include "gateway/audit/recorder.h"
#include "tests/support/folder.h"

struct ipc_server;

enum { RECORD_TOLD_MAX = 64 * 1024 };

struct record_stage {
    struct loop *loop;
    struct ipc_server *server; /* NULL: the service is away */
    struct ipc_client *client;
    struct recorder *recorder;
    char folder[FOLDER_PATH_SIZE];
    struct str told; /* "<action> <result> <target> <detail>\n" of each record, in their order */
    struct str salts;
    int records; /* that came for the first time */
    int repeats;
    int batches;
    bool loses_answers; /* stores, and answers that it was away */
    bool refuses;       /* the first record of each batch is not fit to be stored */
    struct actor actor; /* of the last record */
    char request_id[AUDIT_REQUEST_ID_SIZE];
};

void record_stage_open(struct record_stage *stage, struct loop *loop, enum recorder_scope scope);
void record_stage_close(struct record_stage *stage);
void record_stage_serve(struct record_stage *stage);
void record_stage_stop_serving(struct record_stage *stage);

/* Waits until all is told, and compares. Forgets what was told. */
void record_stage_expect(struct record_stage *stage, const char *told);

#endif
