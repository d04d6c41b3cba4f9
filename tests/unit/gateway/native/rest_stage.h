/* tests/unit/gateway/native/rest_stage.h: the native API over a real socket, with an agent played
 * by the test (agent_stage.h). */
#ifndef TESTS_UNIT_GATEWAY_NATIVE_REST_STAGE_H
#define TESTS_UNIT_GATEWAY_NATIVE_REST_STAGE_H

#include "common/ipc/server.h"
#include "tests/unit/gateway/agent_stage.h"
#include "tests/unit/gateway/http/fixture.h"
#include "tests/unit/gateway/record_stage.h"

#define REST_KEY "isk_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define REST_TOKEN "e30.e30.c2ln"
#define REST_SESSION "sess_1" /* of that token */
#define REST_SANDBOX "/sandbox/" STAGE_SANDBOX_ID

enum { REST_REQUEST_ID_SIZE = 80, REST_ASKED_MAX = 4 * 1024 * 1024 };

struct rest_stage {
    struct agent_stage agent;
    struct fixture http; /* its loop and server, for the client */
    struct ipc_server *auth;
    struct record_stage records; /* of all that is done */
    char auth_folder[FOLDER_PATH_SIZE];
    struct client client;
    bool is_watched;      /* the session of that token */
    int64_t return_at_ms; /* the same; 0: not */
    bool is_person;       /* the client brings the session token, not the key */

    /* What the agent was asked last; its texts with their line ends. */
    struct str asked;
    char id[REST_REQUEST_ID_SIZE];
    uint32_t stream_id;
    int requests;

    /* What came in on the streams. */
    struct str taken; /* data */
    size_t granted;   /* by windows of the gateway */
    int fins;
    int resets;
    bool grants; /* the agent gives credit back as it takes */

    /* What the test's agent does with a request; may be NULL. */
    void (*on_request)(struct rest_stage *stage, struct view text);
    void (*on_fin)(struct rest_stage *stage);
    /* Answers what the auth-service is asked about Idempotency-Keys; its arg is the stage. */
    ipc_handler_fn *on_idempotency;
    ipc_handler_fn *on_keys; /* the same, of new API keys */
    int step;                /* for the test */
};

/* For setup and teardown of cmocka. */
int rest_stage_open(void **state);
int rest_stage_close(void **state);

/* Sends "METHOD target" with the key (or the token) and headers ("A: b\r\n", may be empty) and the
 * body's length. */
void rest_send(struct rest_stage *stage, const char *line, const char *headers, struct view body);
/* The whole answer to it. */
struct reply rest_ask(struct rest_stage *stage, const char *line, const char *headers,
                      struct view body);
/* Waits until the client has received this text. */
void rest_wait_for(struct rest_stage *stage, const char *text);
/* Waits until the agent has been asked so many times, has had so many fins, so many resets. */
void rest_wait_requests(struct rest_stage *stage, int requests);
void rest_wait_resets(struct rest_stage *stage, int resets);
void rest_wait_end(struct rest_stage *stage);

/* The agent answers what it was asked last; members begin behind the id: "\"type\":..." */
void rest_answer(struct rest_stage *stage, const char *members);

void assert_asked(const struct rest_stage *stage, const char *part);
void assert_received(const struct rest_stage *stage, const char *part);

#endif
