#include "sandbox-service/sandbox/starts.h"

#include "common/base/clock.h"
#include "common/base/map.h"

#include <stdlib.h>

enum {
    FIRST_GUESS_MS = 300,
    MEMORY_OF_STARTS = 8, /* the average forgets about as quickly as that many starts pass */
};

/* A user who waits. */
struct queue {
    struct map_node by_user;
    struct list node; /* in the ring */
    struct list turns;
    char user_id[ID_SIZE];
};

struct starts {
    struct map queues;  /* by user; none is empty */
    struct list ring;   /* the same; the first has the next turn */
    struct list behind; /* turns that nobody waits for; not among waiting */
    struct timer due;   /* somebody may go */
    size_t waiting;
    size_t at_it;
    size_t concurrency;
    int64_t average_ms;
};

static void on_due(void *arg);

struct starts *starts_new(struct loop *loop, int64_t concurrency, struct err *err)
{
    struct starts *starts = calloc(1, sizeof *starts);
    if (starts == NULL) {
        err_set(err, ERR_INTERNAL, "starts: out of memory");
        return NULL;
    }
    list_init(&starts->ring);
    list_init(&starts->behind);
    starts->concurrency = (size_t)concurrency;
    starts->average_ms = FIRST_GUESS_MS;
    if (!map_init(&starts->queues, err) || !timer_open(&starts->due, loop, on_due, starts, err)) {
        starts_free(starts);
        return NULL;
    }
    return starts;
}

static void drop_queue(struct starts *starts, struct queue *queue)
{
    map_remove(&starts->queues, &queue->by_user);
    list_remove(&queue->node);
    free(queue);
}

void starts_free(struct starts *starts)
{
    if (starts == NULL) {
        return;
    }
    for (LIST_EACH(node, &starts->ring)) {
        struct queue *queue = LIST_ENTRY(node, struct queue, node);
        for (LIST_EACH(turn, &queue->turns)) {
            list_remove(turn);
        }
        drop_queue(starts, queue);
    }
    for (LIST_EACH(turn, &starts->behind)) {
        list_remove(turn);
    }
    map_free(&starts->queues);
    timer_close(&starts->due);
    free(starts);
}

size_t starts_waiting(const struct starts *starts)
{
    return starts->waiting;
}

size_t starts_at_it(const struct starts *starts)
{
    return starts->at_it;
}

int64_t starts_expected_ms(const struct starts *starts)
{
    int64_t ahead = (int64_t)(starts->waiting + starts->at_it);
    return starts->average_ms * (ahead / (int64_t)starts->concurrency + 1);
}

bool starts_are_quiet(const struct starts *starts)
{
    return starts->waiting == 0 && starts->at_it < starts->concurrency;
}

static bool somebody_may_go(const struct starts *starts)
{
    return (starts->waiting > 0 || !list_is_empty(&starts->behind)) &&
           starts->at_it < starts->concurrency;
}

static void wake(struct starts *starts)
{
    if (somebody_may_go(starts)) {
        timer_arm(&starts->due, 0);
    }
}

static struct start_turn *take_next(struct starts *starts)
{
    if (starts->waiting == 0) {
        return LIST_ENTRY(list_pop(&starts->behind), struct start_turn, node);
    }
    struct queue *queue = LIST_ENTRY(starts->ring.next, struct queue, node);
    struct start_turn *turn = LIST_ENTRY(queue->turns.next, struct start_turn, node);
    list_remove(&turn->node);
    list_remove(&queue->node);
    if (list_is_empty(&queue->turns)) {
        drop_queue(starts, queue);
    } else {
        list_append(&starts->ring, &queue->node);
    }
    starts->waiting--;
    return turn;
}

static void on_due(void *arg)
{
    struct starts *starts = arg;
    if (!somebody_may_go(starts)) {
        return;
    }
    struct start_turn *turn = take_next(starts);
    starts->at_it++;
    turn->at_it = true;
    turn->began_ms = clock_monotonic_ms();
    wake(starts);
    turn->go(turn->arg);
}

static struct queue *find_queue(struct starts *starts, const char user_id[ID_SIZE])
{
    struct map_node *node = map_find(&starts->queues, view_of(user_id));
    if (node != NULL) {
        return MAP_ENTRY(node, struct queue, by_user);
    }
    struct queue *queue = calloc(1, sizeof *queue);
    if (queue != NULL) {
        list_init(&queue->turns);
        memcpy(queue->user_id, user_id, ID_SIZE);
        map_insert(&starts->queues, &queue->by_user, view_of(queue->user_id));
        list_append(&starts->ring, &queue->node);
    }
    return queue;
}

bool starts_enter(struct starts *starts, struct start_turn *turn, const char user_id[ID_SIZE],
                  start_turn_fn *go, void *arg, struct err *err)
{
    struct queue *queue = starts->waiting < STARTS_WAITING_MAX ? find_queue(starts, user_id) : NULL;
    if (queue == NULL) {
        return err_set_reason(err, ERR_UNAVAILABLE, "overloaded", "too many starts wait");
    }
    *turn = (struct start_turn){.go = go, .arg = arg};
    memcpy(turn->user_id, user_id, ID_SIZE);
    list_append(&queue->turns, &turn->node);
    starts->waiting++;
    wake(starts);
    return true;
}

void starts_enter_behind(struct starts *starts, struct start_turn *turn, start_turn_fn *go,
                         void *arg)
{
    *turn = (struct start_turn){.go = go, .arg = arg};
    list_append(&starts->behind, &turn->node);
    wake(starts);
}

void starts_leave(struct starts *starts, struct start_turn *turn)
{
    if (turn->at_it) {
        int64_t took_ms = clock_monotonic_ms() - turn->began_ms;
        starts->average_ms += (took_ms - starts->average_ms) / MEMORY_OF_STARTS;
        turn->at_it = false;
        starts->at_it--;
    } else if (list_is_linked(&turn->node) && turn->user_id[0] == '\0') {
        list_remove(&turn->node);
    } else if (list_is_linked(&turn->node)) {
        struct map_node *node = map_find(&starts->queues, view_of(turn->user_id));
        struct queue *queue = MAP_ENTRY(node, struct queue, by_user);
        list_remove(&turn->node);
        starts->waiting--;
        if (list_is_empty(&queue->turns)) {
            drop_queue(starts, queue);
        }
    }
    wake(starts);
}
