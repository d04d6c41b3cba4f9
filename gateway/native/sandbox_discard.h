/* gateway/native/sandbox_discard.h: the end of sandboxes that nobody waits for. */
#ifndef GATEWAY_NATIVE_SANDBOX_DISCARD_H
#define GATEWAY_NATIVE_SANDBOX_DISCARD_H

#include "gateway/native/request.h"

struct discard;
struct discards;

/* Who wants to know when it is destroyed. Lies in its owner. */
struct discard_wait {
    struct discard *discard; /* NULL: nobody is waited for */
    void (*over)(void *arg); /* comes once, later, on the loop */
    void *arg;
};

enum {
    DISCARDS_MAX = 1024, /* under way; of more it is not known how they end */
    DISCARD_MAX_MS = 10 * 60 * 1000,
};

/* Borrows gateway, whose loop and sandbox_service are there. */
struct discards *discards_new(const struct gateway *gateway, struct err *err) MUST_CHECK;
/* Before the sandbox_service is closed. What is under way is let be. Accepts NULL. */
void discards_free(struct discards *discards);

/* Has the caller's sandbox destroyed, if there is such a one: asks until the sandbox-service says
 * so, which may be just away, for DISCARD_MAX_MS. What is not destroyed by then ends when its time
 * is over. */
void sandbox_discard(struct request *request, const char sandbox_id[ID_SIZE]);
/* The same. over comes when it counts in no quota any more; or when that failed for good, which may
 * be late. wait: over and arg are set. False: over does not come. */
bool sandbox_discard_await(struct request *request, const char sandbox_id[ID_SIZE],
                           struct discard_wait *wait) MUST_CHECK;
void discard_wait_cancel(struct discard_wait *wait);

#endif
