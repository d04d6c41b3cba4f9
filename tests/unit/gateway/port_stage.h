/* tests/unit/gateway/port_stage.h: host ports with a real hub, real clients on real ports, and an
 * agent played by the test (agent_stage.h), which answers `dial` with an echo. The sandbox-service
 * says that one port is exposed. */
#ifndef TESTS_UNIT_GATEWAY_PORT_STAGE_H
#define TESTS_UNIT_GATEWAY_PORT_STAGE_H

#include "gateway/ports/host_ports.h"
#include "tests/unit/gateway/agent_stage.h"

#include <sys/types.h>

enum {
    PORT_STAGE_STREAMS_MAX = 512,
    PORT_STAGE_CONTAINER_PORT = 8080,
    PORT_STAGE_ANSWER_SIZE = 512,
};

struct port_stage {
    struct agent_stage stage;
    struct ipc_server *server;
    struct ipc_client *client;
    struct exposed_cache *exposed;
    struct host_ports *ports;
    char answer[PORT_STAGE_ANSWER_SIZE]; /* of the sandbox-service */
    uint16_t host_port;
    int asked;

    /* The agent. */
    const char *dial_error; /* NULL: it connects */
    bool silent;            /* dials are not answered */
    bool mute;              /* no echo, no credit */
    uint32_t streams[PORT_STAGE_STREAMS_MAX];
    int dials;
    size_t bytes;  /* that came to the agent */
    bool fin;      /* of the client's direction came */
    bool reset;    /* came */
    size_t credit; /* what the agent may send */

    /* A wait. */
    bool done;
    struct err err;

    int fd; /* of one client */
    size_t received;
    bool ended;
    int failure; /* errno of its reads */
};

/* For setup and teardown of cmocka. */
int port_stage_open(void **state);
int port_stage_close(void **state);
/* What close undoes; the agent of the stage is there. */
void port_stage_start_ports(struct port_stage *fixture);

/* What the sandbox-service says from now on. */
void port_stage_expose(struct port_stage *fixture); /* by token, generation '4' */
/* visibility: PORT_PUBLIC or PORT_TOKEN; generation: one digit that tells it from others. */
void port_stage_expose_as(struct port_stage *fixture, const char *visibility, char generation);
void port_stage_expose_nothing(struct port_stage *fixture);

/* A socket that listens on port; 0: on any, which is told. */
int port_stage_listen_on(uint16_t *port);
/* A non-blocking client of the host port; -1: nobody listens. */
int port_stage_try_connect(const struct port_stage *fixture);
/* Conditions for turn_until_true. */
bool port_stage_is_listening(void *arg);
bool port_stage_is_not_listening(void *arg);

host_ports_wait_fn port_stage_on_wait_done;
void port_stage_begin_wait(struct port_stage *fixture);
/* Until the wait is over; err says how. */
void port_stage_wait_for_port(struct port_stage *fixture);

/* A client whose connection has reached the agent. */
void port_stage_connect_client(struct port_stage *fixture);
void port_stage_take_bytes(struct port_stage *fixture);
/* Takes what is there; whether the connection has ended, in whatever way. */
bool port_stage_has_ended(void *arg);

#endif
