#include "sandbox-service/agent/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/timerfd.h>

enum { STACK_SIZE = 64 * 1024 };

static void set_timer(struct watchdog *watchdog, int64_t nanoseconds)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000}};
    (void)timerfd_settime(watchdog->timer_fd, 0, &when, NULL);
}

static void *watch(void *arg)
{
    struct watchdog *watchdog = arg;
    bool stopping = false;
    while (!stopping) {
        uint64_t expirations;
        if (read(watchdog->timer_fd, &expirations, sizeof expirations) < 0 && errno != EINTR) {
            return NULL;
        }
        (void)pthread_mutex_lock(&watchdog->lock);
        if (watchdog->child > 0) {
            (void)kill(watchdog->child, SIGKILL);
            watchdog->has_killed = true;
        }
        stopping = watchdog->stopping;
        (void)pthread_mutex_unlock(&watchdog->lock);
    }
    return NULL;
}

/* All signals are blocked in the thread: SIGCHLD above all is meant for the loop. */
static int start_thread(struct watchdog *watchdog)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    (void)sigfillset(&all);
    int error_number = pthread_attr_init(&attributes);
    if (error_number != 0) {
        return error_number;
    }
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    error_number = pthread_create(&watchdog->thread, &attributes, watch, watchdog);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return error_number;
}

bool watchdog_open(struct watchdog *watchdog, struct err *err)
{
    *watchdog = (struct watchdog){.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
    if (watchdog->timer_fd < 0) {
        return err_set(err, ERR_INTERNAL, "timerfd_create: errno %d", errno);
    }
    int error_number = pthread_mutex_init(&watchdog->lock, NULL);
    if (error_number == 0) {
        error_number = start_thread(watchdog);
    }
    if (error_number != 0) {
        close_fd(&watchdog->timer_fd);
        return err_set(err, ERR_INTERNAL, "the watchdog's thread: errno %d", error_number);
    }
    watchdog->is_open = true;
    return true;
}

void watchdog_close(struct watchdog *watchdog)
{
    if (!watchdog->is_open) {
        return;
    }
    (void)pthread_mutex_lock(&watchdog->lock);
    watchdog->stopping = true;
    (void)pthread_mutex_unlock(&watchdog->lock);
    set_timer(watchdog, 1);
    (void)pthread_join(watchdog->thread, NULL);
    (void)pthread_mutex_destroy(&watchdog->lock);
    close_fd(&watchdog->timer_fd);
    watchdog->is_open = false;
}

void watchdog_begin(struct watchdog *watchdog)
{
    set_timer(watchdog, (int64_t)WATCHDOG_LIMIT_MS * 1000000);
}

bool watchdog_end(struct watchdog *watchdog)
{
    (void)pthread_mutex_lock(&watchdog->lock);
    bool has_killed = watchdog->has_killed;
    watchdog->has_killed = false;
    watchdog->child = 0;
    (void)pthread_mutex_unlock(&watchdog->lock);
    set_timer(watchdog, 0);
    return has_killed;
}
