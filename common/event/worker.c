#include "common/event/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKER_THREADS_MAX = 64 };

struct worker_pool {
    struct mailbox *mailbox; /* owned */
    pthread_mutex_t lock;
    pthread_cond_t work_came;
    struct list waiting;  /* under lock, as the next three */
    struct list patient;  /* run when nothing else waits */
    size_t waiting_count; /* of both */
    size_t patient_count;
    size_t queue_limit;
    bool stopping; /* under lock */
    size_t thread_count;
    pthread_t threads[WORKER_THREADS_MAX];
};

static void on_done(struct letter *letter)
{
    struct worker_job *job = LIST_ENTRY(letter, struct worker_job, letter);
    job->done(job);
}

/* The next job, waiting for one; NULL when the pool stops and none is left. */
static struct worker_job *take(struct worker_pool *pool)
{
    struct worker_job *job = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->waiting_count == 0 && !pool->stopping) {
        (void)pthread_cond_wait(&pool->work_came, &pool->lock);
    }
    if (pool->waiting_count > 0) {
        const struct list *first = list_is_empty(&pool->waiting) ? &pool->patient : &pool->waiting;
        job = LIST_ENTRY(first->next, struct worker_job, node);
        list_remove(&job->node);
        pool->waiting_count--;
        pool->patient_count -= job->owner == NULL ? 0 : 1;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *work(void *arg)
{
    struct worker_pool *pool = arg;
    struct worker_job *job;
    while ((job = take(pool)) != NULL) {
        job->run(job);
        mailbox_post(pool->mailbox, &job->letter);
    }
    return NULL;
}

/* Signals are the loop's business: the threads start with all of them blocked. */
static bool start_threads(struct worker_pool *pool, size_t count, struct err *err)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = 0;
    while (pool->thread_count < count && failure == 0) {
        failure = pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
        pool->thread_count += failure == 0 ? 1 : 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure == 0 || err_set(err, ERR_INTERNAL, "worker thread: %s", strerror(failure));
}

struct worker_pool *worker_pool_new(struct loop *loop, size_t thread_count, size_t queue_limit,
                                    struct err *err)
{
    struct worker_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        err_set(err, ERR_INTERNAL, "worker pool: out of memory");
        return NULL;
    }
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work_came, NULL);
    list_init(&pool->waiting);
    list_init(&pool->patient);
    pool->queue_limit = queue_limit;
    if (thread_count == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        thread_count = cores > 0 ? (size_t)cores : 1;
    }
    thread_count = thread_count > WORKER_THREADS_MAX ? WORKER_THREADS_MAX : thread_count;
    pool->mailbox = mailbox_new(loop, err);
    if (pool->mailbox == NULL || !start_threads(pool, thread_count, err)) {
        worker_pool_free(pool);
        return NULL;
    }
    return pool;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work_came);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->thread_count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    mailbox_free(pool->mailbox);
    (void)pthread_cond_destroy(&pool->work_came);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* Under lock. */
static size_t count_of_owner(const struct worker_pool *pool, const char *owner)
{
    size_t count = 0;
    for (LIST_EACH(node, &pool->patient)) {
        count += strcmp(LIST_ENTRY(node, struct worker_job, node)->owner, owner) == 0 ? 1 : 0;
    }
    return count;
}

/* Under lock. */
static bool has_room(const struct worker_pool *pool, const char *owner)
{
    return !pool->stopping && pool->waiting_count < pool->queue_limit &&
           (owner == NULL || (pool->patient_count < (pool->queue_limit + 1) / 2 &&
                              count_of_owner(pool, owner) < WORKER_PATIENT_MAX));
}

static bool submit(struct worker_pool *pool, struct worker_job *job, const char *owner,
                   struct err *err)
{
    job->letter = (struct letter){.on_delivered = on_done};
    job->node = (struct list){0};
    job->pool = pool;
    job->owner = owner;
    (void)pthread_mutex_lock(&pool->lock);
    bool is_taken = has_room(pool, owner);
    if (is_taken) {
        list_append(owner == NULL ? &pool->waiting : &pool->patient, &job->node);
        pool->waiting_count++;
        pool->patient_count += owner == NULL ? 0 : 1;
        (void)pthread_cond_signal(&pool->work_came);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return is_taken || err_set_reason(err, ERR_LIMIT, "busy", "too much is waiting; try again");
}

bool worker_submit(struct worker_pool *pool, struct worker_job *job, struct err *err)
{
    return submit(pool, job, NULL, err);
}

bool worker_submit_patient(struct worker_pool *pool, struct worker_job *job, const char *owner,
                           struct err *err)
{
    return submit(pool, job, owner, err);
}
