/* sandbox-service/agent/chore.h: work that takes long, done in slices between which the loop turns,
 * so that nothing else waits for it. */
#ifndef SANDBOX_AGENT_CHORE_H
#define SANDBOX_AGENT_CHORE_H

#include "common/base/err.h"
#include "common/base/list.h"

struct chores; /* all that are under way */
struct loop;

enum { CHORES_TURN_MS = 5 }; /* of one turn of the loop, for all together */

/* Lies in the worker's object. */
struct chore {
    struct list node; /* zero: not under way */
    /* Does a slice of about a millisecond. False: no more is to be done for now, and the object may
     * be gone. */
    bool (*step)(void *arg);
    void (*drop)(void *arg); /* it will never be done: frees the object; NULL: others do that */
    void *arg;
};

struct chores *chores_new(struct loop *loop, struct err *err) MUST_CHECK;
/* Drops what is under way. NULL is fine. */
void chores_free(struct chores *chores);
struct loop *chores_loop(const struct chores *chores);

/* The first slice is done in the next turn of the loop. Does nothing when it is under way. */
void chore_start(struct chores *chores, struct chore *chore);
/* No more slices, until it is started again. */
void chore_stop(struct chore *chore);

#endif
