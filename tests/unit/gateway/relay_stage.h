/* tests/unit/gateway/relay_stage.h: a relay of gateway/native/client_relay.h between a client and
 * an agent (agent_stage.h), both played by the test over socket pairs. */
#ifndef TESTS_UNIT_GATEWAY_RELAY_STAGE_H
#define TESTS_UNIT_GATEWAY_RELAY_STAGE_H

#include "gateway/native/client_relay.h"
#include "tests/unit/gateway/agent_stage.h"
#include "tests/unit/gateway/record_stage.h"

enum { RELAY_TEXT_SIZE = 1024, RELAY_HEARD_MAX = 8 };

#define RELAY_RUNS "\"type\":\"execResponse\",\"pid\":7"

struct relay_heard {
    char text[RELAY_TEXT_SIZE]; /* the last one */
    int texts;
    struct stream_frame frames[RELAY_HEARD_MAX]; /* payloads are gone */
    size_t lengths[RELAY_HEARD_MAX];
    int frame_count;
    size_t bytes;
    char code[STREAM_CODE_SIZE]; /* of a reset */
};

struct relay_stage {
    struct agent_stage agent;
    struct client_relay relay;
    struct record_stage records; /* of all that is done */
    struct ws_socket *server;    /* the gateway's end of the client's connection */
    struct ws_socket *client;
    struct bufferevent *client_bev;
    bool server_closed;
    bool client_closed;
    int client_close_code;
    int answered;
    struct relay_heard at_client;
    struct relay_heard at_agent;
    const char *answer; /* members behind the id; NULL: no answer */
    char request_id[32];
    uint32_t stream_id; /* at the agent */
};

/* For setup and teardown of cmocka. */
int relay_stage_open(void **state);
int relay_stage_close(void **state);
struct loop *relay_loop(const struct relay_stage *stage);

/* What the client sends. */
void relay_ask(struct relay_stage *stage, const char *text);
void relay_send_frame(struct relay_stage *stage, uint32_t id, enum stream_kind kind,
                      struct view payload);
void relay_send_window(struct relay_stage *stage, uint32_t id, uint32_t bytes);

/* Conditions to wait for, on a stage. */
bool relay_client_has_text(void *arg);
bool relay_client_has_frame(void *arg);
bool relay_agent_has_text(void *arg);
bool relay_agent_has_frame(void *arg);
void relay_wait_for(struct relay_stage *stage, bool (*condition)(void *arg));
/* The client's next text is this one; it counts as not heard afterwards. */
void relay_wait_for_text(struct relay_stage *stage, const char *text);
/* The same, an error; id is the JSON value. */
void relay_wait_for_error(struct relay_stage *stage, const char *id, const char *code);
/* A request goes to the agent and its answer comes back, behind all that was under way before: what
 * either side has not heard by then, it does not hear. Counts as heard by neither. */
void relay_round_trip(struct relay_stage *stage);

/* Opens stream 500 of the client's, which the agent answers with these members. */
void relay_open_stream(struct relay_stage *stage, const char *type, const char *answer);

#endif
