#include "common/event/loop.h"

#include "common/base/log.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

enum { STOP_SIGNALS = 2 };
static const int stop_signals[STOP_SIGNALS] = {SIGTERM, SIGINT};

struct loop {
    struct event_base *base; /* owned */
    struct event *reap;      /* owned; active while corpses wait */
    struct list corpses;
    struct event *signals[STOP_SIGNALS]; /* owned */
    struct event *reload;                /* owned; NULL until asked for */
    loop_reload_fn *on_reload;
    void *on_reload_arg;
    loop_signal_fn *on_stop;
    void *on_stop_arg;
    bool stopping;
};

static void reap(struct loop *loop)
{
    while (!list_is_empty(&loop->corpses)) {
        struct loop_corpse *corpse = LIST_ENTRY(loop->corpses.next, struct loop_corpse, node);
        list_remove(&corpse->node);
        corpse->free_object(corpse->object);
    }
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    reap(arg);
}

/* A timer runs from the moment it is armed, however long the loop's turn has been under way. */
static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME) == 0) {
        base = event_base_new_with_config(config);
    }
    if (config != NULL) {
        event_config_free(config);
    }
    return base;
}

struct loop *loop_new(struct err *err)
{
    (void)signal(SIGPIPE, SIG_IGN);
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        err_set(err, ERR_INTERNAL, "loop: out of memory");
        return NULL;
    }
    list_init(&loop->corpses);
    loop->base = new_base();
    if (loop->base == NULL) {
        err_set(err, ERR_INTERNAL, "loop: libevent gave no base");
        goto fail;
    }
    /* Of the same priority as all else: a lower one would wait for ever under a steady load. */
    loop->reap = event_new(loop->base, -1, 0, on_reap, loop);
    if (loop->reap == NULL) {
        err_set(err, ERR_INTERNAL, "loop: event_new failed");
        goto fail;
    }
    return loop;
fail:
    loop_free(loop);
    return NULL;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    reap(loop);
    for (int i = 0; i < STOP_SIGNALS; i++) {
        if (loop->signals[i] != NULL) {
            event_free(loop->signals[i]);
        }
    }
    if (loop->reload != NULL) {
        event_free(loop->reload);
    }
    if (loop->reap != NULL) {
        event_free(loop->reap);
    }
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

void loop_run(struct loop *loop)
{
    (void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    reap(loop);
}

void loop_stop(struct loop *loop)
{
    (void)event_base_loopbreak(loop->base);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    (void)what;
    struct loop *loop = arg;
    log_info("process.stopping", LOG_INT("signal", signal_number));
    if (loop->stopping) {
        loop_stop(loop);
        return;
    }
    loop->stopping = true;
    loop->on_stop(loop->on_stop_arg);
}

bool loop_on_stop_signal(struct loop *loop, loop_signal_fn *on_stop, void *arg, struct err *err)
{
    loop->on_stop = on_stop;
    loop->on_stop_arg = arg;
    for (int i = 0; i < STOP_SIGNALS; i++) {
        loop->signals[i] = evsignal_new(loop->base, stop_signals[i], on_signal, loop);
        if (loop->signals[i] == NULL || event_add(loop->signals[i], NULL) != 0) {
            return err_set(err, ERR_INTERNAL, "loop: can't watch signal %d", stop_signals[i]);
        }
    }
    return true;
}

static void on_hang_up(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    struct loop *loop = arg;
    if (loop->on_reload == NULL || loop->on_reload(loop->on_reload_arg)) {
        log_info("process.reloaded");
    } else {
        log_error("process.not_reloaded");
    }
}

bool loop_on_reload_signal(struct loop *loop, loop_reload_fn *on_reload, void *arg, struct err *err)
{
    loop->on_reload = on_reload;
    loop->on_reload_arg = arg;
    loop->reload = evsignal_new(loop->base, SIGHUP, on_hang_up, loop);
    if (loop->reload == NULL || event_add(loop->reload, NULL) != 0) {
        return err_set(err, ERR_INTERNAL, "loop: can't watch signal %d", SIGHUP);
    }
    return true;
}

void loop_free_later(struct loop *loop, struct loop_corpse *corpse, loop_free_fn *free_object,
                     void *object)
{
    assert(!list_is_linked(&corpse->node));
    corpse->free_object = free_object;
    corpse->object = object;
    list_append(&loop->corpses, &corpse->node);
    event_active(loop->reap, EV_TIMEOUT, 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct timer *timer = arg;
    timer->on_fire(timer->arg);
}

bool timer_open(struct timer *timer, struct loop *loop, timer_fn *on_fire, void *arg,
                struct err *err)
{
    *timer = (struct timer){.on_fire = on_fire, .arg = arg};
    timer->event = evtimer_new(loop->base, on_timer, timer);
    return timer->event != NULL || err_set(err, ERR_INTERNAL, "timer: out of memory");
}

static struct timeval timeval_of(int64_t delay_ms)
{
    return (struct timeval){.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
}

void timer_arm(struct timer *timer, int64_t delay_ms)
{
    const struct timeval delay = timeval_of(delay_ms);
    (void)event_add(timer->event, &delay);
}

void timer_arm_common(struct timer *timer, int64_t delay_ms)
{
    const struct timeval delay = timeval_of(delay_ms);
    const struct timeval *common =
        event_base_init_common_timeout(event_get_base(timer->event), &delay);
    (void)event_add(timer->event, common == NULL ? &delay : common);
}

void timer_disarm(struct timer *timer)
{
    (void)event_del(timer->event);
}

bool timer_is_armed(const struct timer *timer)
{
    return timer->event != NULL && event_pending(timer->event, EV_TIMEOUT, NULL) != 0;
}

void timer_close(struct timer *timer)
{
    if (timer->event != NULL) {
        event_free(timer->event);
        timer->event = NULL;
    }
}
