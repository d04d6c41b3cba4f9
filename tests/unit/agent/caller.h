/* tests/unit/agent/caller.h: the gateway's end of everything an agent answers, without a connection
 * between. What is asked is done for real, so it takes root. */
#ifndef TESTS_UNIT_AGENT_CALLER_H
#define TESTS_UNIT_AGENT_CALLER_H

#include "sandbox-service/agent/once.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/session.h"
#include "sandbox-service/agent/stream.h"
#include "tests/support/turn.h"

enum { CALLER_EPOCH = 7, CALLER_STREAMS = 8, CALLER_BYTES_MAX = 64 * 1024 * 1024 };

/* One stream, by its id: 1 to CALLER_STREAMS - 1. */
struct caller_stream {
    struct str bytes[STREAM_STDERR + 1]; /* by kind */
    uint64_t count;                      /* of bytes, kept or not */
    uint64_t granted_back;               /* credit that the agent gave */
    bool stalled;                        /* gives no credit back */
    bool discards;                       /* counts only */
    bool fin, reset;
    bool ended; /* behind "exit" */
    char code[STREAM_CODE_SIZE];
};

struct caller {
    struct loop *loop;
    struct settings settings;
    struct processes *processes;
    struct onces *onces;
    struct sessions *sessions;
    struct streams *streams;
    struct requests requests;
    struct str texts; /* all that came, a line each */
    struct caller_stream streams_of[CALLER_STREAMS];
    struct list grants; /* credit on its way to the agent */
    bool congested;
};

/* For cmocka: state becomes the caller, whose commands run as root. */
int caller_set_up(void **state);
int caller_tear_down(void **state);

/* Says something, forgetting the texts that came before. */
void caller_ask(struct caller *caller, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same, and waits for a text that holds part. */
void caller_ask_for(struct caller *caller, const char *part, const char *format, ...)
    PRINTF_LIKE(3, 4);
void caller_wait_text(struct caller *caller, const char *part);
void caller_wait_output(struct caller *caller, uint32_t id, enum stream_kind kind,
                        const char *part);
void caller_wait_count(struct caller *caller, uint32_t id, uint64_t count);
bool caller_heard(const struct caller *caller, const char *part);
/* The number behind "name": in what came last; fails the test when there is none. */
long long caller_number(const struct caller *caller, const char *name);

struct caller_stream *caller_stream(struct caller *caller, uint32_t id);
const char *caller_output(struct caller *caller, uint32_t id, enum stream_kind kind);
/* The id may be used for another stream. */
void caller_forget(struct caller *caller, uint32_t id);
void caller_send(struct caller *caller, uint32_t id, enum stream_kind kind, struct view bytes);
void caller_grant(struct caller *caller, uint32_t id, uint32_t bytes);

#endif
