/* sandbox-service/life/still.h: sandboxes that are kept still while what is on their disk is kept.
 *
 * A running one is paused for it (its row says so, and why), and moves on when the last who keeps
 * it still lets go; one that rests already stays as it is. Meanwhile nothing wakes its container: a
 * resume that is ordered waits for it here. Whatever an earlier process left still moves on. */
#ifndef SANDBOX_LIFE_STILL_H
#define SANDBOX_LIFE_STILL_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/trace.h"

struct err;
struct sandboxes;
struct still;
struct stills;

enum { STILL_LOOK_MS = 10 * 1000, STILLS_AT_A_TIME = 100 };

/* Borrows sandboxes. Looks for what was left from the loop's first turn on. */
struct stills *stills_open(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* At the end of the process: nothing is kept still from now on, and what is let go moves on in the
 * next process. Who waits for that is ended by shifts_end. */
void stills_end(struct stills *stills);
/* When nobody keeps one still, and no question to the store is open. NULL is fine. */
void stills_close(struct stills *stills);

/* err NULL: it stands still until still_end. Else ERR_CONFLICT "sandbox_gone", "sandbox_busy";
 * ERR_UNAVAILABLE "pause_failed", "docker_unavailable", "shutting_down"; then it is not kept. */
typedef void still_ready_fn(const struct err *err, void *arg);

/* Lies in whoever keeps a sandbox still. */
struct still_hold {
    struct list node;
    struct still *still; /* NULL: it keeps none */
    still_ready_fn *ready;
    void *arg;
};
/* ready comes once, later, on the loop, unless still_end comes before. */
bool still_begin(struct stills *stills, const char sandbox_id[ID_SIZE], struct still_hold *hold,
                 still_ready_fn *ready, void *arg, struct err *err) MUST_CHECK;
/* Lets go, or gives up waiting; nothing when it keeps none. */
void still_end(struct still_hold *hold);

/* Lies in whoever waits for a sandbox to be let go, who may leave by list_remove. */
struct still_wait {
    struct list node;
    void (*let_go)(void *arg); /* once, on the loop */
    void *arg;
};
/* True: it is kept still, and let_go comes. */
bool still_await(struct stills *stills, const char sandbox_id[ID_SIZE], struct still_wait *wait);

#endif
