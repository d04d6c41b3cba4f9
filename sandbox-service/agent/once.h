/* sandbox-service/agent/once.h: which requests to run something were done already, so that a repeat
 * is answered and not run again. */
#ifndef SANDBOX_AGENT_ONCE_H
#define SANDBOX_AGENT_ONCE_H

#include "common/event/loop.h"
#include "sandbox-service/agent/process.h"
#include "sandbox-service/agent/reply.h"

enum {
    ONCES_MAX = 1024,
    ONCE_KEPT_MS = 10 * 60 * 1000,            /* from its end on */
    ONCE_ANSWER_MAX = 256 * 1024,             /* bytes; a longer answer is not kept */
    ONCE_ANSWERS_BYTES_MAX = 8 * 1024 * 1024, /* of all; the oldest go first */
    ONCE_WAITERS_MAX = 16,                    /* repeats that wait for the one answer */
};

struct onces; /* all of them */
struct once;  /* one; stays while it runs, and then until the loop's turn ends at least */

struct onces *onces_new(struct loop *loop, struct err *err) MUST_CHECK;
/* NULL is fine. */
void onces_free(struct onces *onces);

/* What a request is recognised by: 64 bits of a hash with a seed of our own. A caller whose two
 * requests meet in it (one pair in 2^64) does harm to nobody else. */
uint64_t once_digest(const struct onces *onces, struct view meaning);

/* NULL when it is not known. */
struct once *once_find(struct onces *onces, struct view key);
/* The key must not be known. ERR_LIMIT "busy" when too many run. */
struct once *once_begin(struct onces *onces, struct view key, uint64_t digest,
                        struct err *err) MUST_CHECK;
/* Whether the request is the one that was begun. ERR_CONFLICT "idempotency_key_reused". */
bool once_check(const struct once *once, uint64_t digest, struct err *err) MUST_CHECK;
/* It did not begin after all. NULL is fine. */
void once_cancel(struct once *once);

/* The process that runs for it. */
void once_set_process(struct once *once, const struct process *process);
/* NULL when there was none or it is not known any more. */
struct process *once_process(const struct once *once, struct processes *processes);
pid_t once_pid(const struct once *once); /* 0: none */
bool once_is_running(const struct once *once);

/* A repeat that is to have the answer when it comes; copies. ERR_LIMIT "busy". */
bool once_wait(struct once *once, const struct reply *reply, struct err *err) MUST_CHECK;
/* Takes the waiters out one by one. */
bool once_next_waiter(struct once *once, struct reply *out);

/* The members of the answer, as JSON text without braces; copied if it is not too long. */
void once_keep_answer(struct once *once, struct view members);
/* Empty when there is none. */
struct view once_answer(const struct once *once);
/* It has ended; from here on it may be forgotten. */
void once_end(struct once *once);

#endif
