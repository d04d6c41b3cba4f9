/* tests/unit/agent/peer.h: the gateway's end of the agent's streams, without a connection between:
 * it hears what the agent sends and says what the agent hears. */
#ifndef TESTS_UNIT_AGENT_PEER_H
#define TESTS_UNIT_AGENT_PEER_H

#include "common/event/loop.h"
#include "sandbox-service/agent/chore.h"
#include "sandbox-service/agent/stream.h"

enum {
    PEER_EPOCH = 5,
    PEER_STREAM = 7, /* the stream whose frames are kept */
    PEER_DATA_MAX = 64 * 1024 * 1024,
    PEER_TEXTS_MAX = 8 * 1024 * 1024,
};

struct peer {
    struct loop *loop;
    struct streams *streams;
    struct chores *chores;
    struct reply reply; /* of a request that is asked now */
    struct str texts;   /* all that came, a line each */
    size_t answers;
    struct str data;    /* of PEER_STREAM */
    uint64_t ungranted; /* bytes of data that were not granted again */
    uint64_t granted;   /* bytes that the agent grants beyond the first window */
    bool fin;
    bool reset;
    char code[STREAM_CODE_SIZE]; /* of the reset */
    bool congested;
};

void peer_open(struct peer *peer);
/* streams are closed first; what works on them can be freed between the two. */
void peer_close_streams(struct peer *peer);
void peer_close(struct peer *peer);

/* A frame of PEER_STREAM; fails the test when it breaks the protocol. */
void peer_send(struct peer *peer, enum stream_kind kind, struct view bytes);
void peer_grant(struct peer *peer, uint32_t bytes);

/* Turn the loop until it happens, and give credit back for what comes. */
void peer_wait_answers(struct peer *peer, size_t count);
void peer_wait_data(struct peer *peer, size_t len);
void peer_wait_fin(struct peer *peer);
void peer_wait_reset(struct peer *peer, const char *code);
void peer_wait_text(struct peer *peer, const char *part);

/* Whether a text with this part came. */
bool peer_heard(const struct peer *peer, const char *part);
void peer_forget_texts(struct peer *peer);
void peer_expect_error(struct peer *peer, const char *code);

#endif
