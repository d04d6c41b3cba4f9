/* sandbox-service/life/shift.h: one sandbox on its way to rest, or back: the acts on its container
 * between two changes of its row.
 *
 * A row that is `pausing` or `resuming` is the order, the container follows, then the row says what
 * is reached. Whatever broke in between is taken up where the row stands. At most one shift a
 * sandbox: what this process does to containers that rest it does in here.
 *
 * However many are ordered at once, the engine gets SHIFTS_AT_A_TIME, and users take turns; a
 * return from disk is a start, and waits among those (sandbox/starts.h). */
#ifndef SANDBOX_LIFE_SHIFT_H
#define SANDBOX_LIFE_SHIFT_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/trace.h"

struct sandboxes;
struct shifts;

enum {
    SHIFTS_AT_A_TIME = 8,           /* acts at the engine, besides starts */
    SHIFT_AGENT_MAX_MS = 30 * 1000, /* from the start of a container to its agent's coming */
};

struct shifts *shifts_new(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* When none is in flight: after the calls of store and engine were failed. */
void shifts_free(struct shifts *shifts);
/* At the end of the process: those that wait for an agent end; the next process goes on. */
void shifts_end(struct shifts *shifts);
size_t shifts_count(const struct shifts *shifts);

/* err NULL: the row is `paused`, or `running`, as the shift was to make it. Else ERR_UNAVAILABLE
 * "pause_failed", "resume_failed", "docker_unavailable"; ERR_CONFLICT "sandbox_ended". */
typedef void shift_over_fn(const struct err *err, void *arg);

/* Lies in whoever waits, who may leave by list_remove. */
struct shift_waiter {
    struct list node;
    shift_over_fn *over; /* comes once, later, on the loop */
    void *arg;
};

/* What the statement that ordered it said. */
struct shift_order {
    bool is_resuming;
    bool on_disk;
    int64_t generation;    /* of its agent's credential, in the row */
    char user_id[ID_SIZE]; /* whose turn it takes; "": it goes when no user's turn waits */
};

/* The row has just become `pausing` or `resuming` by a statement of ours. waiter may be NULL. False
 * when out of memory: the reconciler takes it up. */
bool shift_begin(struct shifts *shifts, const char sandbox_id[ID_SIZE],
                 const struct shift_order *order, const struct trace *trace,
                 struct shift_waiter *waiter, struct err *err) MUST_CHECK;
/* Joins the one under way; when there is none, looks at the row and takes up what it finds there.
 * waiter may be NULL. */
bool shift_join(struct shifts *shifts, const char sandbox_id[ID_SIZE], const struct trace *trace,
                struct shift_waiter *waiter, struct err *err) MUST_CHECK;
bool shift_is_under_way(const struct shifts *shifts, const char sandbox_id[ID_SIZE]);

/* The agent connected, and the row says so. */
void shift_agent_came(struct shifts *shifts, const char sandbox_id[ID_SIZE]);
/* The row has left the living: nobody is waited for. */
void shift_abort(struct shifts *shifts, const char sandbox_id[ID_SIZE]);

#endif
