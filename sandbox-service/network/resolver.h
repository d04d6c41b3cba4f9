/* sandbox-service/network/resolver.h: the only name server that restricted sandboxes reach.
 *
 * UDP alone: every answer fits a packet. Whose question it is is told by its source address, which
 * nobody inside can choose. A name that the sandbox's policy has is asked of the host's servers;
 * the addresses that come back are opened for it, and only then given to it. A name that it has not
 * is refused and counted, and nobody hears of it. Other types of allowed names have no records.
 *
 * Who asks much does not keep others waiting: places and turns go to those with the fewest
 * questions. */
#ifndef SANDBOX_NETWORK_RESOLVER_H
#define SANDBOX_NETWORK_RESOLVER_H

#include "common/event/loop.h"
#include "sandbox-service/network/egress.h"

enum {
    RESOLVER_PORT = 53,
    RESOLVER_QUESTIONS_MAX = 512, /* without an answer; then who has the most loses one of them */
    RESOLVER_QUESTIONS_OF_ONE_MAX = 16,
    RESOLVER_OPENINGS_MAX = 4, /* at a time: changes of the table wait behind them */
    RESOLVER_SPACING_MS = 50,  /* between questions of one that others are asked, and */
    RESOLVER_BURST = 200,      /* how many may come at once */
    RESOLVER_TRY_MS = 1500,    /* each server */
    RESOLVER_TRIES = 3,
    RESOLVER_TTL_MAX_S = 300,
};

struct resolver;

/* Where it listens and whom it asks; ports other than 53 are for tests. */
struct resolver_options {
    struct loop *loop;     /* borrowed for its life */
    struct egress *egress; /* the same */
    uint32_t address;      /* host byte order; need not be there yet */
    uint16_t port;
    const uint32_t *servers; /* borrowed for its life; at least one */
    size_t server_count;
    uint16_t server_port;
};

struct resolver *resolver_open(const struct resolver_options *options, struct err *err) MUST_CHECK;
/* After egress_close: questions end with their calls. */
void resolver_close(struct resolver *resolver);

#endif
