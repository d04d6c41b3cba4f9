/* tests/unit/gateway/http/giver.h: a handler of /custom (fixture.h) whose answer the test sends
 * piece by piece. */
#ifndef TESTS_UNIT_GATEWAY_HTTP_GIVER_H
#define TESTS_UNIT_GATEWAY_HTTP_GIVER_H

#include "tests/unit/gateway/http/fixture.h"

enum { GIVER_PIECE_BYTES = 64 * 1024 };

#define GET_NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_CUSTOM "GET /custom HTTP/1.1\r\nHost: a\r\n\r\n"

/* What the handler does and what it heard. */
struct giver {
    struct scene scene;
    struct http_exchange *exchange; /* NULL: gone or answered */
    struct http_response response;
    int64_t length;
    bool inside; /* a function of the server is on the stack */
    int gone;
    int drained;
    size_t left; /* still to send on on_drained; then the answer ends */
    bool sent_it;
};

void giver_open(struct giver *giver, const struct http_limits *limits);
void giver_close(struct giver *giver);
/* Over TCP from now on, in place of the scene's client. */
void giver_connect_tcp(struct giver *giver);

/* False when too much waits. */
bool giver_send(struct giver *giver, const char *text);
/* Sends what is left as far as there is room; with sent_it the answer ends behind it. */
void giver_fill(struct giver *giver);
/* Ends the answer and lets the client have it. */
void giver_end(struct giver *giver);

#endif
