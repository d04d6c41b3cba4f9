/* sandbox-service/system/cleanup.h: finds what is nobody's on this node, and takes it away. */
#ifndef SANDBOX_SYSTEM_CLEANUP_H
#define SANDBOX_SYSTEM_CLEANUP_H

#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/trace.h"
#include "sandbox-service/system/leftover_list.h"

struct sandboxes;

/* One of the two is NULL. leftovers is valid during the call. */
typedef void cleanup_done_fn(const struct leftover_list *leftovers, const struct err *err,
                             void *arg);

struct cleanup_options {
    struct sandboxes *sandboxes; /* borrowed until done */
    char admin_id[ID_SIZE];      /* "" with of_engine */
    bool of_engine;   /* only what an older version left on the engine; nobody asked for it */
    bool dry_run;     /* finds only */
    bool unknown;     /* what no row has ever told of goes too: the operator's word */
    int64_t until_ms; /* monotonic: what is not taken away until then is left */
    struct trace trace;
    cleanup_done_fn *done;
    void *arg;
};

/* done comes exactly once, later, on the loop. False (and no done) when it can't begin. ERR_DENIED
 * "not_admin"; ERR_UNAVAILABLE "docker_unavailable". */
bool cleanup_begin(const struct cleanup_options *options, struct err *err) MUST_CHECK;

#endif
