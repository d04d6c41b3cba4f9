/* sandbox-service/sandbox/starts.h: how many containers are started at a time, and whose turn it
 * is.
 *
 * The engine gives a few starts a second, however many are asked for. So they wait here, and users
 * take turns: who asks for fifty does not keep the others waiting. The acts of life/shift.h that
 * are no starts have such a queue of their own. */
#ifndef SANDBOX_SANDBOX_STARTS_H
#define SANDBOX_SANDBOX_STARTS_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "common/event/loop.h"

enum { STARTS_WAITING_MAX = 1024 };

struct starts;

typedef void start_turn_fn(void *arg);
/* One wish to start. Zero while it is neither waiting nor at it. Lies in the caller's request. */
struct start_turn {
    struct list node;
    char user_id[ID_SIZE];
    bool at_it;
    int64_t began_ms; /* monotonic */
    start_turn_fn *go;
    void *arg;
};

struct starts *starts_new(struct loop *loop, int64_t concurrency, struct err *err) MUST_CHECK;
/* Those that wait are forgotten. */
void starts_free(struct starts *starts);

/* How long a new wish would take, by how long the latest starts took. */
int64_t starts_expected_ms(const struct starts *starts);
/* How many wait, and how many are at it. */
size_t starts_waiting(const struct starts *starts);
size_t starts_at_it(const struct starts *starts);

/* Whether one more would go at once. */
bool starts_are_quiet(const struct starts *starts);

/* Queues the turn; go comes once, later, on the loop, when it may start. ERR_UNAVAILABLE
 * "overloaded" when too many wait, or out of memory. */
bool starts_enter(struct starts *starts, struct start_turn *turn, const char user_id[ID_SIZE],
                  start_turn_fn *go, void *arg, struct err *err) MUST_CHECK;
/* The same for what nobody waits for: it goes when no user's turn waits. Whoever enters so keeps
 * the number of its turns small: those that are at it take room from the users. */
void starts_enter_behind(struct starts *starts, struct start_turn *turn, start_turn_fn *go,
                         void *arg);
/* Ends the turn, whether it waits or is at it. Does nothing to one that is neither. */
void starts_leave(struct starts *starts, struct start_turn *turn);

#endif
