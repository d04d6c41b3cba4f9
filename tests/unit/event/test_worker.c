#include "common/event/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

enum { JOBS = 200, THREADS = 3 };

struct sum {
    struct worker_job job;
    int number;
    int square; /* written by the thread, read by the loop */
};

static struct loop *loop;
static pthread_t loop_thread;
static int done;
static int expected;
static sem_t gate;

static int open_loop(void **state)
{
    (void)state;
    struct err err;
    loop = loop_new(&err);
    loop_thread = pthread_self();
    done = 0;
    return loop == NULL || sem_init(&gate, 0, 0) != 0;
}

static int close_loop(void **state)
{
    (void)state;
    loop_free(loop);
    return sem_destroy(&gate);
}

static void square(struct worker_job *job)
{
    struct sum *sum = LIST_ENTRY(job, struct sum, job);
    sum->square = sum->number * sum->number;
}

static void on_square(struct worker_job *job)
{
    const struct sum *sum = LIST_ENTRY(job, struct sum, job);
    assert_true(pthread_equal(pthread_self(), loop_thread));
    assert_int_equal(sum->square, sum->number * sum->number);
    if (++done == expected) {
        loop_stop(loop);
    }
}

static void every_job_runs_and_is_done_once(void **state)
{
    (void)state;
    static struct sum sums[JOBS];
    struct err err;
    struct worker_pool *pool = worker_pool_new(loop, THREADS, JOBS, &err);
    assert_non_null(pool);
    expected = JOBS;
    for (int i = 0; i < JOBS; i++) {
        sums[i] = (struct sum){.job = {.run = square, .done = on_square}, .number = i};
        assert_true(worker_submit(pool, &sums[i].job, &err));
    }
    loop_run(loop);
    assert_int_equal(done, JOBS);
    worker_pool_free(pool);
    assert_int_equal(done, JOBS);
}

static void wait_at_gate(struct worker_job *job)
{
    (void)job;
    (void)sem_wait(&gate);
}

static void on_passed(struct worker_job *job)
{
    (void)job;
    done++;
}

static void a_full_queue_is_busy(void **state)
{
    (void)state;
    enum { LIMIT = 2 };
    struct worker_job jobs[LIMIT + 2];
    struct err err = {0};
    struct worker_pool *pool = worker_pool_new(loop, 1, LIMIT, &err);
    assert_non_null(pool);
    int accepted = 0;
    for (int i = 0; i < LIMIT + 2; i++) {
        jobs[i] = (struct worker_job){.run = wait_at_gate, .done = on_passed};
        accepted += worker_submit(pool, &jobs[i], &err) ? 1 : 0;
    }
    /* The thread may have taken the first one already. */
    assert_in_range(accepted, LIMIT, LIMIT + 1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.reason, "busy");
    for (int i = 0; i < accepted; i++) {
        assert_int_equal(sem_post(&gate), 0);
    }
    worker_pool_free(pool);
    assert_int_equal(done, accepted);
}

static void freeing_runs_what_waits(void **state)
{
    (void)state;
    struct worker_job jobs[5];
    struct err err;
    struct worker_pool *pool = worker_pool_new(loop, 0, 10, &err);
    assert_non_null(pool);
    for (int i = 0; i < 5; i++) {
        jobs[i] = (struct worker_job){.run = wait_at_gate, .done = on_passed};
        assert_true(worker_submit(pool, &jobs[i], &err));
        assert_int_equal(sem_post(&gate), 0);
    }
    worker_pool_free(pool);
    assert_int_equal(done, 5);
}

static int turn; /* of the one thread */

static sem_t arrived;

static void block_at_gate(struct worker_job *job)
{
    (void)sem_post(&arrived);
    wait_at_gate(job);
}

/* Returns when the only thread stands at the gate. */
static struct worker_pool *new_blocked_pool(struct worker_job *blocker, size_t limit)
{
    struct err err;
    struct worker_pool *pool = worker_pool_new(loop, 1, limit, &err);
    assert_non_null(pool);
    assert_int_equal(sem_init(&arrived, 0, 0), 0);
    *blocker = (struct worker_job){.run = block_at_gate, .done = on_passed};
    assert_true(worker_submit(pool, blocker, &err));
    assert_int_equal(sem_wait(&arrived), 0);
    turn = 0;
    return pool;
}

static void note_turn(struct worker_job *job)
{
    LIST_ENTRY(job, struct sum, job)->number = ++turn;
}

static void wait_and_note(struct worker_job *job)
{
    note_turn(job);
    block_at_gate(job);
}

static void owners_take_turns(void **state)
{
    (void)state;
    static const char *const owners[] = {"a", "a", "a", "b", "b", "c"};
    static const int turns[] = {1, 4, 6, 2, 5, 3};
    enum { ALL = sizeof turns / sizeof turns[0] };
    struct worker_job blocker;
    struct sum sums[ALL];
    struct err err;
    struct worker_pool *pool = new_blocked_pool(&blocker, ALL + 1);
    for (int i = 0; i < ALL; i++) {
        sums[i] = (struct sum){.job = {.run = note_turn, .done = on_passed}};
        assert_true(worker_submit_of(pool, &sums[i].job, owners[i], &err));
    }
    assert_int_equal(sem_post(&gate), 0);
    worker_pool_free(pool);
    for (int i = 0; i < ALL; i++) {
        assert_int_equal(sums[i].number, turns[i]);
    }
}

/* Who always has some waiting does not overtake itself either. */
static void nobody_waits_for_ever(void **state)
{
    (void)state;
    enum { WAITING = 3, MORE = 12 };
    struct worker_job blocker;
    struct sum sums[WAITING + MORE];
    struct err err;
    struct worker_pool *pool = new_blocked_pool(&blocker, WAITING + MORE);
    for (int i = 0; i < WAITING + MORE; i++) {
        sums[i] =
            (struct sum){.job = {.run = i < MORE ? wait_and_note : note_turn, .done = on_passed}};
        assert_true(worker_submit_of(pool, &sums[i].job, "a", &err));
        if (i >= WAITING - 1 && i < MORE + WAITING - 1) {
            assert_int_equal(sem_post(&gate), 0); /* one goes, the next comes */
            assert_int_equal(sem_wait(&arrived), 0);
        }
    }
    assert_int_equal(sem_post(&gate), 0);
    worker_pool_free(pool);
    for (int i = 0; i < WAITING + MORE; i++) {
        assert_int_equal(sums[i].number, i + 1);
    }
}

static void do_nothing(struct worker_job *job)
{
    (void)job;
}

static void one_owner_does_not_fill_the_queue(void **state)
{
    (void)state;
    enum { LIMIT = WORKER_OWNER_MAX + 1 };
    static struct worker_job jobs[LIMIT];
    struct worker_job blocker;
    struct err err = {0};
    struct worker_pool *pool = new_blocked_pool(&blocker, LIMIT);
    for (int i = 0; i < LIMIT; i++) {
        jobs[i] = (struct worker_job){.run = do_nothing, .done = on_passed};
        assert_true(worker_submit_of(pool, &jobs[i], "a", &err) == (i < WORKER_OWNER_MAX));
    }
    assert_string_equal(err.reason, "busy");
    assert_true(worker_submit_of(pool, &jobs[LIMIT - 1], "b", &err));
    assert_int_equal(sem_post(&gate), 0);
    worker_pool_free(pool);
    assert_int_equal(done, LIMIT + 1);
}

static void look_at_signals(struct worker_job *job)
{
    struct sum *sum = LIST_ENTRY(job, struct sum, job);
    sigset_t blocked;
    (void)sigemptyset(&blocked);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    sum->number = sigismember(&blocked, SIGTERM);
}

static void threads_leave_signals_to_the_loop(void **state)
{
    (void)state;
    struct sum sum = {.job = {.run = look_at_signals, .done = on_passed}};
    struct err err;
    sigset_t blocked;
    struct worker_pool *pool = worker_pool_new(loop, 1, 1, &err);
    assert_non_null(pool);
    assert_true(worker_submit(pool, &sum.job, &err));
    worker_pool_free(pool);
    assert_int_equal(sum.number, 1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    assert_int_equal(sigismember(&blocked, SIGTERM), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_job_runs_and_is_done_once),
        CASE(a_full_queue_is_busy),
        CASE(freeing_runs_what_waits),
        CASE(owners_take_turns),
        CASE(nobody_waits_for_ever),
        CASE(one_owner_does_not_fill_the_queue),
        CASE(threads_leave_signals_to_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
