/* tests/unit/gateway/http/fixture.h: a server on a unix socket, and clients that send raw bytes.
 * The server's loop runs only while a function of this file does. */
#ifndef TESTS_UNIT_GATEWAY_HTTP_FIXTURE_H
#define TESTS_UNIT_GATEWAY_HTTP_FIXTURE_H

#include "common/base/str.h"
#include "gateway/http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    ECHO_MAX = 64,               /* body limit of /echo */
    BIG_BODY = 8 * 1024 * 1024,  /* what /big answers */
    BULK_MAX = 12 * 1024 * 1024, /* body limit of /bulk, which answers with the length */
    SCRATCH_MAX = 64 * 1024,     /* texts that tests build */
    CLIENT_RECEIVED_MAX = 16 * 1024 * 1024,
};

/* What the handler does is told by the path:
 *   /echo   the body          /bulk  the body's length      /none  at once, without reading a body
 *   /head   "METHOD path ?query host=... body=0|1 upgrade=0|1"
 *   /hold   keeps the exchange in held                      /big   8 MiB
 *   /switch upgrades          /empty 204                    /error ERR_INTERNAL
 *   /custom what on_custom does, with custom_arg
 * anything else: like /none. */
struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct http_listener *listener;
    struct http_exchange *held;
    struct bufferevent *switched; /* owned */
    bool take_place;              /* of upgraded connections */
    struct http_place *place;
    int gone; /* calls of on_gone */
    int requests;
    bool drained;
    http_request_fn *on_custom;
    void *custom_arg;
};

void fixture_open(struct fixture *fixture, const struct http_limits *limits);
void fixture_close(struct fixture *fixture);

/* Limits so short that a test can wait for them. */
extern const struct http_limits fixture_short_limits;

/* Answers the held exchange with 200 and that body. */
void fixture_release(struct fixture *fixture, const char *body);

/* Runs the loop until nothing is left to do at once. */
void fixture_settle(struct fixture *fixture);
/* Runs the loop for that time. */
void fixture_run(struct fixture *fixture, int ms);

struct client {
    struct fixture *fixture;
    int fd;
    struct str received;
    size_t read; /* of received, by client_next */
    bool ended;  /* the server closed, or reset */
    bool was_reset;
};

void client_open(struct client *client, struct fixture *fixture);
/* Over a socket that is connected already. */
void client_adopt(struct client *client, struct fixture *fixture, int fd);
void client_close(struct client *client);
void client_send(struct client *client, struct view bytes);
/* One byte at a time, each seen by the server alone. Stops when the server has closed. */
void client_trickle(struct client *client, struct view bytes);
/* Waits until the server has closed, or fails. */
void client_wait_end(struct client *client);
void client_receive(struct client *client);

/* A server and one client of it. */
struct scene {
    struct fixture fixture;
    struct client client;
};
void scene_open(struct scene *scene, const struct http_limits *limits);
void scene_close(struct scene *scene);

struct reply {
    int status;
    struct view head;
    struct view body;
};
/* The next whole answer, waiting for it; status 0 when the connection ended first. With bodiless
 * (HEAD, 1xx) Content-Length is not followed. Views are valid until the next call. */
struct reply client_next(struct client *client, bool bodiless);
/* A header's value, the empty view when absent. */
struct view reply_header(const struct reply *reply, const char *name);
void assert_view(struct view actual, const char *expected);
bool view_has(struct view text, const char *part);

#endif
