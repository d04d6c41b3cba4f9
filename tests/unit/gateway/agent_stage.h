/* tests/unit/gateway/agent_stage.h: a hub, and the agent of one sandbox played by the test over a
 * socket pair: it speaks the real protocol. The sandbox-service is an IPC server on the same loop.
 */
#ifndef TESTS_UNIT_GATEWAY_AGENT_STAGE_H
#define TESTS_UNIT_GATEWAY_AGENT_STAGE_H

#include "common/base/str.h"
#include "common/contracts/stream.h"
#include "common/event/loop.h"
#include "common/json/scan.h"
#include "common/ws/socket.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/hub/hub.h"
#include "tests/support/folder.h"

#define STAGE_SANDBOX_ID "33333333-3333-4333-8333-333333333333"

struct ipc_server;

struct agent_stage {
    struct gateway gateway; /* loop, config, sandbox_service, sandboxes, hub */
    struct gateway_config config;
    struct ipc_server *services;
    char folder[FOLDER_PATH_SIZE];
    struct ws_socket *agent; /* NULL once it is closed */
    struct bufferevent *agent_bev;
    bool agent_closed;
    int agent_close_code;
    bool sandbox_ended; /* what the sandbox-service says */

    /* A sandbox that is made gets an agent in the place of the one before. */
    char sandbox_id[ID_SIZE]; /* of the agent */
    int creates;
    int destroys;
    int destroys_refused;       /* of the next ones, so many are, and not counted above */
    const char *create_refusal; /* the reason to refuse the next one with; NULL: none */
    struct str created;         /* what was asked for last */

    /* What the agent hears once it is ready; NULL: it is thrown away. */
    void (*on_text)(struct view text, const struct json_envelope *envelope, void *arg);
    void (*on_frame)(const struct stream_frame *frame, void *arg);
    void *arg;
};

/* The agent is ready when this returns. */
void agent_stage_open(struct agent_stage *stage);
void agent_stage_close(struct agent_stage *stage);

void agent_say(struct agent_stage *stage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void agent_send(struct agent_stage *stage, uint32_t stream_id, enum stream_kind kind,
                struct view payload);
void agent_send_window(struct agent_stage *stage, uint32_t stream_id, uint32_t bytes);
/* The agent's connection breaks. */
void agent_vanish(struct agent_stage *stage);
/* The same; then one of before smallWindows connects. */
void agent_come_back_older(struct agent_stage *stage);
/* Whether the agent takes what comes. */
void agent_set_reading(struct agent_stage *stage, bool on);

#endif
