/* common/event/loop.h: the one libevent loop of a process, its end, and frees that must wait. */
#ifndef COMMON_EVENT_LOOP_H
#define COMMON_EVENT_LOOP_H

#include "common/base/err.h"
#include "common/base/list.h"

#include <event2/event.h>
#include <stdint.h>

struct loop;

/* SIGPIPE is ignored from here on. The caller frees it with loop_free, last of all. */
struct loop *loop_new(struct err *err) MUST_CHECK;
void loop_free(struct loop *loop);

struct event_base *loop_base(struct loop *loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

typedef void loop_signal_fn(void *arg);
/* Calls on_stop at the first SIGTERM or SIGINT (the process drains); a second one ends the loop at
 * once. */
bool loop_on_stop_signal(struct loop *loop, loop_signal_fn *on_stop, void *arg,
                         struct err *err) MUST_CHECK;

/* False when it could not take over what is new and goes on with the old, which it has logged. */
typedef bool loop_reload_fn(void *arg);
/* SIGHUP does not end the process any more; on_reload (may be NULL) comes at each one, and the log
 * says how it went. */
bool loop_on_reload_signal(struct loop *loop, loop_reload_fn *on_reload, void *arg,
                           struct err *err) MUST_CHECK;

typedef void loop_free_fn(void *object);
/* A thing that unlinks itself now but may still be in use further up the stack. */
struct loop_corpse {
    struct list node;
    loop_free_fn *free_object;
    void *object;
};
/* Calls free_object(object) when the stack has been left, behind what was ready before (or in
 * loop_free). corpse lies in the object and must not be queued twice. */
void loop_free_later(struct loop *loop, struct loop_corpse *corpse, loop_free_fn *free_object,
                     void *object);

/* A one-shot timer on the loop that can be set again. arm restarts it. */
typedef void timer_fn(void *arg);
struct timer {
    struct event *event; /* owned; NULL until opened */
    timer_fn *on_fire;
    void *arg;
};
bool timer_open(struct timer *timer, struct loop *loop, timer_fn *on_fire, void *arg,
                struct err *err) MUST_CHECK;
void timer_arm(struct timer *timer, int64_t delay_ms);
/* The same, cheaper for a delay that thousands of timers share; a process may use few different
 * ones (libevent: 256). */
void timer_arm_common(struct timer *timer, int64_t delay_ms);
void timer_disarm(struct timer *timer);
bool timer_is_armed(const struct timer *timer);
/* Accepts a timer that was never opened. */
void timer_close(struct timer *timer);

#endif
