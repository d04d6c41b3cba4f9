#include "sandbox-service/agent/chore.h"

#include "common/base/clock.h"
#include "common/event/loop.h"

#include <stdlib.h>

struct chores {
    struct loop *loop; /* borrowed */
    struct list under_way;
    struct timer turn;
};

/* Each gets one slice a turn, as far as the time goes; who got none is first in the next. */
static void on_turn(void *arg)
{
    struct chores *chores = arg;
    struct list served;
    int64_t end_ms = clock_monotonic_ms() + CHORES_TURN_MS;
    list_init(&served);
    while (!list_is_empty(&chores->under_way) && clock_monotonic_ms() < end_ms) {
        struct chore *chore = LIST_ENTRY(list_pop(&chores->under_way), struct chore, node);
        if (chore->step(chore->arg) && !list_is_linked(&chore->node)) {
            list_append(&served, &chore->node);
        }
    }
    list_append_all(&chores->under_way, &served);
    if (!list_is_empty(&chores->under_way)) {
        timer_arm(&chores->turn, 0);
    }
}

struct chores *chores_new(struct loop *loop, struct err *err)
{
    struct chores *chores = calloc(1, sizeof *chores);
    if (chores == NULL) {
        err_set(err, ERR_INTERNAL, "chores: out of memory");
        return NULL;
    }
    chores->loop = loop;
    list_init(&chores->under_way);
    if (!timer_open(&chores->turn, loop, on_turn, chores, err)) {
        chores_free(chores);
        return NULL;
    }
    return chores;
}

void chores_free(struct chores *chores)
{
    struct list *node;
    if (chores == NULL) {
        return;
    }
    while ((node = list_pop(&chores->under_way)) != NULL) {
        const struct chore *chore = LIST_ENTRY(node, struct chore, node);
        if (chore->drop != NULL) {
            chore->drop(chore->arg);
        }
    }
    timer_close(&chores->turn);
    free(chores);
}

struct loop *chores_loop(const struct chores *chores)
{
    return chores->loop;
}

void chore_start(struct chores *chores, struct chore *chore)
{
    if (!list_is_linked(&chore->node)) {
        list_append(&chores->under_way, &chore->node);
        if (!timer_is_armed(&chores->turn)) {
            timer_arm(&chores->turn, 0);
        }
    }
}

void chore_stop(struct chore *chore)
{
    list_remove(&chore->node);
}
