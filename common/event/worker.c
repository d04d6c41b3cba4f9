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
    struct list waiting; /* under lock, as the next two; by turns, of one turn by their coming */
    size_t waiting_count;
    uint64_t turn; /* of the last that was taken */
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

static struct worker_job *job_of(struct list *node)
{
    return LIST_ENTRY(node, struct worker_job, node);
}

/* The next job, waiting for one; NULL when the pool stops and none is left. */
static struct worker_job *take(struct worker_pool *pool)
{
    struct worker_job *job = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    while (list_is_empty(&pool->waiting) && !pool->stopping) {
        (void)pthread_cond_wait(&pool->work_came, &pool->lock);
    }
    if (!list_is_empty(&pool->waiting)) {
        job = job_of(pool->waiting.next);
        list_remove(&job->node);
        pool->waiting_count--;
        pool->turn = job->turn;
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

/* One behind the last of its owner that waits, and behind whose turn it is. Returns how many of the
 * owner wait. */
static size_t set_turn(const struct worker_pool *pool, struct worker_job *job)
{
    size_t count = 0;
    job->turn = pool->turn + 1;
    for (LIST_EACH(node, &pool->waiting)) {
        const struct worker_job *other = job_of(node);
        if (strcmp(other->owner, job->owner) == 0) {
            job->turn = other->turn + 1;
            count++;
        }
    }
    return count;
}

static void line_up(struct worker_pool *pool, struct worker_job *job)
{
    struct list *behind = pool->waiting.next;
    while (behind != &pool->waiting && job_of(behind)->turn <= job->turn) {
        behind = behind->next;
    }
    list_append(behind, &job->node);
    pool->waiting_count++;
}

/* owner_max 0: as many as there is room for. */
static bool submit(struct worker_pool *pool, struct worker_job *job, const char *owner,
                   size_t owner_max, struct err *err)
{
    job->letter = (struct letter){.on_delivered = on_done};
    job->node = (struct list){0};
    job->pool = pool;
    job->owner = owner;
    (void)pthread_mutex_lock(&pool->lock);
    size_t count = set_turn(pool, job);
    bool has_room = pool->waiting_count < pool->queue_limit && !pool->stopping &&
                    (owner_max == 0 || count < owner_max);
    if (has_room) {
        line_up(pool, job);
        (void)pthread_cond_signal(&pool->work_came);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return has_room || err_set_reason(err, ERR_LIMIT, "busy", "too much is waiting; try again");
}

bool worker_submit(struct worker_pool *pool, struct worker_job *job, struct err *err)
{
    return submit(pool, job, "", 0, err);
}

bool worker_submit_of(struct worker_pool *pool, struct worker_job *job, const char *owner,
                      struct err *err)
{
    return submit(pool, job, owner, WORKER_OWNER_MAX, err);
}
