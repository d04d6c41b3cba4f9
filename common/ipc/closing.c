#include "common/ipc/closing.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

/* nng 1.5.2 loses an operation, and then waits for it for ever, when a message arrives at the very
 * moment its pipe is closed. So nng_close gets a thread of its own, which nobody waits for: what it
 * would free is of this process alone, and closing comes before the end of that. */
struct closing {
    nng_socket socket;
    void *belongings; /* owned */
};

static void *close_it(void *arg)
{
    struct closing *closing = arg;
    (void)nng_close(closing->socket);
    free(closing->belongings);
    free(closing);
    return NULL;
}

static bool start(struct closing *closing)
{
    pthread_t thread;
    pthread_attr_t detached;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_attr_init(&detached);
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's business */
    bool started = pthread_create(&thread, &detached, close_it, closing) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&detached);
    return started;
}

void ipc_close_behind(nng_socket socket, void *belongings)
{
    struct closing *closing = calloc(1, sizeof *closing);
    if (closing == NULL) {
        return; /* the socket stays open until the process ends */
    }
    closing->socket = socket;
    closing->belongings = belongings;
    if (!start(closing)) {
        free(closing); /* the same */
    }
}
