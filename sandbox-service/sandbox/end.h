/* sandbox-service/sandbox/end.h: ends a sandbox whose container has ended. */
#ifndef SANDBOX_SANDBOX_END_H
#define SANDBOX_SANDBOX_END_H

#include "common/base/id.h"

struct sandboxes;

/* Why one looks. */
enum end_hint {
    END_DIED,           /* the engine said that the container ended */
    END_DIED_OR_TAKEN,  /* the same of an engine that, when it stops, kills its containers */
    END_MISSED,         /* it was found ended, or gone */
    END_ENGINE_RESTART, /* the same, after such an engine was away */
};

typedef void sandbox_end_fn(void *arg);

/* Asks the engine how the sandbox's container is; when it does not run any more, ends the row (oom,
 * engine_restart, error) and has the rest removed. done (may be NULL) comes exactly once, later, on
 * the loop; at once only when out of memory. */
void sandbox_check_end(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                       enum end_hint hint, sandbox_end_fn *done, void *arg);

/* Ends a living row for a reason of ours, whatever its container does. */
void sandbox_end(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE], const char *reason,
                 sandbox_end_fn *done, void *arg);

/* The same for a row that is still `creating`, and only then: nobody is creating it any more. */
void sandbox_end_creating(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                          sandbox_end_fn *done, void *arg);

#endif
