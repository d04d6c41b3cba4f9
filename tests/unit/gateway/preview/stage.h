/* tests/unit/gateway/preview/stage.h: a gateway's HTTP server with previews, the agent of one
 * sandbox, and programs in it: each connection to a port is played by the test, byte for byte. */
#ifndef TESTS_UNIT_GATEWAY_PREVIEW_STAGE_H
#define TESTS_UNIT_GATEWAY_PREVIEW_STAGE_H

#include "gateway/ports/exposed.h"
#include "gateway/preview/preview.h"
#include "tests/unit/gateway/agent_stage.h"
#include "tests/unit/gateway/http/fixture.h"

#define HOST_PUBLIC "3000-33333333333343338333333333333333.localhost"  /* exposed, public */
#define HOST_PRIVATE "4000-33333333333343338333333333333333.localhost" /* exposed, by token */
#define HOST_CLOSED "5000-33333333333343338333333333333333.localhost"  /* not exposed */

enum { DIALS_MAX = 300 };

/* One connection to a port. */
struct dialled {
    uint32_t id;
    int port;
    struct str heard; /* what came from the gateway */
    size_t granted;   /* by window frames */
    bool fin;
    bool reset;
};

struct stage {
    struct agent_stage agent;
    struct fixture http; /* the server and the loop, for clients */
    struct ipc_server *ports_service;
    struct ipc_client *ports_client;
    struct exposed_cache *exposed;
    struct preview *preview;

    char token[EXPOSED_TOKEN_SIZE];        /* of the private port */
    const char *dial_error;                /* NULL: dials are accepted */
    bool unexposed;                        /* no port is, from now on */
    bool ended;                            /* the sandbox has, from now on */
    bool nowhere;                          /* there is no such sandbox, from now on */
    const char *visibility;                /* of the public port, from now on; NULL: public */
    const char *generation;                /* of both, from now on; NULL: as before */
    void (*on_asked)(struct stage *stage); /* before it is answered; may be NULL */
    bool withhold_credit;                  /* the program does not read */
    int64_t answers_ports;                 /* how often it was asked */
    struct dialled dials[DIALS_MAX];
    size_t dial_count;
};

void stage_open(struct stage *stage);
void stage_close(struct stage *stage);
/* The same for each test: state becomes its stage. */
int stage_set_up(void **state);
int stage_tear_down(void **state);

void visit(struct client *client, struct stage *stage, const char *text);
/* Waits until that part of an answer has come. */
void wait_until_received(struct client *client, const char *part);
/* Closes in a way that the server hears of at once: by a reset. */
void leave(struct client *client);
/* Waits until so many connections were made, and returns the last of them. */
struct dialled *wait_for_dial(struct stage *stage, size_t count);
/* Waits until the program has heard that at the end. */
void wait_for_heard(struct stage *stage, struct dialled *dialled, const char *end);
void program_says(struct stage *stage, const struct dialled *dialled, const char *text);
void program_says_bytes(struct stage *stage, const struct dialled *dialled, struct view bytes);
void program_closes(struct stage *stage, const struct dialled *dialled);
void wait_for_flag(struct stage *stage, const bool *flag);

#endif
