/* common/ws/inbox.h: whole messages and control frames out of the bytes of one peer; for this
 * folder. Everything RFC 6455 and the limits forbid comes out as a breach. */
#ifndef COMMON_WS_INBOX_H
#define COMMON_WS_INBOX_H

#include "common/base/str.h"
#include "common/ws/header.h"

#include <event2/buffer.h>

enum {
    WS_CONTROL_MAX = 125,
    /* Memory for a message grows as its bytes come, not as its header promises; 64 KiB and a little
     * that stands before them are one growth. */
    INBOX_GROW_MAX = 64 * 1024 + 64,
};

struct ws_inbox {
    enum ws_role role;
    const struct ws_limits *limits; /* borrowed for ever */
    bool discard;                   /* messages are not kept any more, only counted */
    bool in_frame;                  /* between a frame's header and its end */
    uint8_t opcode;                 /* of that frame */
    bool fin;
    uint64_t payload_left;
    struct ws_mask mask;    /* of that frame too */
    uint8_t message_opcode; /* 0: no message is under way */
    size_t message_len;     /* with the frame under way */
    size_t fragments;
    struct str message;  /* owned */
    size_t utf8_checked; /* bytes of a text message known to be whole characters */
    uint8_t control_len;
    char control[WS_CONTROL_MAX];
};

enum ws_arrival {
    WS_ARRIVAL_NONE,    /* more bytes are needed */
    WS_ARRIVAL_MESSAGE, /* inbox->message_opcode, inbox->message */
    WS_ARRIVAL_PING,    /* inbox->control */
    WS_ARRIVAL_PONG,
    WS_ARRIVAL_CLOSE, /* inbox->control; its code and reason are valid */
    WS_ARRIVAL_BREACH,
};

void ws_inbox_init(struct ws_inbox *inbox, enum ws_role role, const struct ws_limits *limits);
void ws_inbox_free(struct ws_inbox *inbox);

/* Takes bytes out of from up to the next thing to act on. After a message the caller calls
 * ws_inbox_clear when it is done with it; after a breach it does not call again. */
enum ws_arrival ws_inbox_next(struct ws_inbox *inbox, struct evbuffer *from,
                              struct ws_breach *breach);
void ws_inbox_clear(struct ws_inbox *inbox);
/* Nothing more is there for now: between messages no memory is kept. */
void ws_inbox_rest(struct ws_inbox *inbox);

/* Where the payload of a long data frame under way goes on, once all that is in the evbuffer was
 * taken: *len bytes, at most INBOX_GROW_MAX and not beyond the frame. NULL when there is none. */
char *ws_inbox_room(struct ws_inbox *inbox, size_t *len);
/* So many bytes were put there; ws_inbox_next goes on with them. */
void ws_inbox_fill(struct ws_inbox *inbox, size_t len);

/* What is in a close frame: its code, 0 when it has none. */
int ws_inbox_close_code(const struct ws_inbox *inbox);

#endif
