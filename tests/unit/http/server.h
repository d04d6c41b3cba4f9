/* tests/unit/http/server.h: an HTTP server on the test's own loop that misbehaves on request. */
#ifndef TESTS_UNIT_HTTP_SERVER_H
#define TESTS_UNIT_HTTP_SERVER_H

#include "common/event/loop.h"

enum { SERVER_REQUEST_SIZE = 4096 };

struct server;

/* Listens on 127.0.0.1, or on a unix socket when path is not NULL. What it answers is in the table
 * of server.c, by path. */
struct server *server_open(struct loop *loop, const char *path);
void server_close(struct server *server);

int server_port(const struct server *server);
int server_accepted(const struct server *server); /* connections so far */
int server_open_now(const struct server *server); /* connections */
int server_requests(const struct server *server); /* so far */

#endif
