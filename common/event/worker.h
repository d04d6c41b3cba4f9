/* common/event/worker.h: threads for what must block (bcrypt, a slow child process). */
#ifndef COMMON_EVENT_WORKER_H
#define COMMON_EVENT_WORKER_H

#include "common/event/mailbox.h"

#include <stdint.h>

struct worker_pool;
struct worker_job;

typedef void worker_run_fn(struct worker_job *job);  /* on a worker thread; may block */
typedef void worker_done_fn(struct worker_job *job); /* on the loop, exactly once */

/* Lies in the caller's request; belongs to the pool until done is called. */
struct worker_job {
    struct letter letter;
    struct list node;
    worker_run_fn *run;
    worker_done_fn *done;
    struct worker_pool *pool; /* borrowed, set by worker_submit */
    const char *owner;        /* borrowed until it runs; set by worker_submit, as the next */
    uint64_t turn;
};

/* Starts thread_count threads (0: one a core). At most queue_limit jobs wait. */
struct worker_pool *worker_pool_new(struct loop *loop, size_t thread_count, size_t queue_limit,
                                    struct err *err) MUST_CHECK;
/* Waits for what runs; jobs that were waiting are run too, and every done is called. */
void worker_pool_free(struct worker_pool *pool);

/* ERR_LIMIT "busy" when the queue is full; done is not called then. */
bool worker_submit(struct worker_pool *pool, struct worker_job *job, struct err *err) MUST_CHECK;

enum { WORKER_OWNER_MAX = 200 }; /* jobs of one owner that wait */

/* For many owners who are not to hold up each other: they take turns, and each has so many places.
 */
bool worker_submit_of(struct worker_pool *pool, struct worker_job *job, const char *owner,
                      struct err *err) MUST_CHECK;

#endif
