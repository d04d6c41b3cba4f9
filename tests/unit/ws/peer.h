/* tests/unit/ws/peer.h: a struct ws_socket and, at the other end of a socketpair, bytes by hand. */
#ifndef TESTS_UNIT_WS_PEER_H
#define TESTS_UNIT_WS_PEER_H

#include "common/base/str.h"
#include "common/ws/socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    OP_CONTINUATION = 0,
    OP_TEXT = 1,
    OP_BINARY = 2,
    OP_CLOSE = 8,
    OP_PING = 9,
    OP_PONG = 10,
    FIN = 0x80,
    PEER_WAIT_MS = 30000, /* after which a test that waits has failed */
};

struct peer {
    struct loop *loop;
    struct ws_socket *socket; /* NULL when a test has freed it */
    enum ws_role role;        /* the socket's */
    int fd;                   /* our end; non-blocking */
    struct str received;      /* what the socket sent and the test has not looked at */
    bool ended;               /* the socket's side of the connection */
    size_t messages;          /* that on_message was called with */
    struct str last;          /* the last one's bytes */
    enum ws_opcode last_opcode;
    int closed; /* calls of on_closed */
    int closed_code;
    int drained;                           /* calls of on_drained */
    void (*on_message)(struct peer *peer); /* what a test does inside; may be NULL */
};

struct peer_frame {
    uint8_t first; /* FIN and opcode */
    bool masked;
    struct view payload; /* unmasked, valid until the next frame is read */
};

extern const struct ws_events peer_events;

void peer_open(struct peer *peer, enum ws_role role, const struct ws_limits *limits);
/* waiting: bytes that lie in the bufferevent's input when the socket is made. */
void peer_open_with_input(struct peer *peer, enum ws_role role, const struct ws_limits *limits,
                          struct view waiting);
void peer_close(struct peer *peer);

void peer_write(struct peer *peer, struct view bytes);
/* A frame as the socket's peer would send it: masked toward a server. */
void peer_send(struct peer *peer, uint8_t first, struct view payload);
void peer_append_frame(struct str *out, bool masked, uint8_t first, struct view payload);

/* Runs the loop until the condition holds; fails the test after PEER_WAIT_MS. */
#define PEER_RUN_UNTIL(peer, condition)                                                            \
    for (int64_t until_ = peer_deadline(); !(condition);)                                          \
    peer_turn(peer, until_)
int64_t peer_deadline(void);
void peer_turn(struct peer *peer, int64_t deadline_ms);
/* Runs the loop for so long. */
void peer_run_for(struct peer *peer, int64_t duration_ms);

/* The next frame the socket sends. */
struct peer_frame peer_next(struct peer *peer);
void peer_expect(struct peer *peer, uint8_t first, struct view payload);
/* A close frame with this code comes next. */
void peer_expect_close(struct peer *peer, int code);

#endif
