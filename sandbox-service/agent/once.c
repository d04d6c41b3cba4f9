#include "sandbox-service/agent/once.h"

#include "common/base/clock.h"
#include "common/base/map.h"

#include <stdlib.h>

struct onces {
    struct loop *loop; /* borrowed */
    struct map by_key; /* of both lists */
    struct list running;
    struct list ended; /* the oldest first */
    size_t answer_bytes;
    struct timer expiry;
};

struct waiter {
    struct list node;
    struct reply reply;
};

struct once {
    struct list node;
    struct map_node by_key;
    struct loop_corpse corpse;
    struct onces *all;
    uint64_t digest; /* of the request */
    bool ended;
    int64_t ended_ms;
    pid_t pid;
    uint64_t serial;
    struct list waiters;
    size_t waiter_count;
    struct str answer;
    size_t key_len;
    char key[ONCE_MAX];
};

static void free_memory(void *object)
{
    free(object);
}

static void drop_answer(struct once *once)
{
    once->all->answer_bytes -= once->answer.len;
    str_free(&once->answer);
}

static void forget(struct once *once)
{
    struct reply ignored;
    while (once_next_waiter(once, &ignored)) {
    }
    drop_answer(once);
    list_remove(&once->node);
    map_remove(&once->all->by_key, &once->by_key);
    loop_free_later(once->all->loop, &once->corpse, free_memory, once);
}

static struct once *first_of(const struct list *list)
{
    return list_is_empty(list) ? NULL : LIST_ENTRY(list->next, struct once, node);
}

static void on_expiry(void *arg)
{
    struct onces *onces = arg;
    int64_t due_ms = clock_monotonic_ms() - ONCE_KEPT_MS;
    struct once *oldest = first_of(&onces->ended);
    while (oldest != NULL && oldest->ended_ms <= due_ms) {
        forget(oldest);
        oldest = first_of(&onces->ended);
    }
    if (oldest != NULL) {
        timer_arm(&onces->expiry, oldest->ended_ms - due_ms);
    }
}

struct onces *onces_new(struct loop *loop, struct err *err)
{
    struct onces *onces = calloc(1, sizeof *onces);
    if (onces == NULL) {
        err_set(err, ERR_INTERNAL, "onces: out of memory");
        return NULL;
    }
    onces->loop = loop;
    list_init(&onces->running);
    list_init(&onces->ended);
    if (!map_init(&onces->by_key, err) ||
        !timer_open(&onces->expiry, loop, on_expiry, onces, err)) {
        onces_free(onces);
        return NULL;
    }
    return onces;
}

void onces_free(struct onces *onces)
{
    if (onces == NULL) {
        return;
    }
    while (!list_is_empty(&onces->running)) {
        forget(first_of(&onces->running));
    }
    while (!list_is_empty(&onces->ended)) {
        forget(first_of(&onces->ended));
    }
    timer_close(&onces->expiry);
    map_free(&onces->by_key);
    free(onces);
}

uint64_t once_digest(const struct onces *onces, struct view meaning)
{
    return map_hash(&onces->by_key, meaning);
}

struct once *once_find(struct onces *onces, struct view key)
{
    struct map_node *node = map_find(&onces->by_key, key);
    return node == NULL ? NULL : MAP_ENTRY(node, struct once, by_key);
}

struct once *once_begin(struct onces *onces, struct view key, uint64_t digest, struct err *err)
{
    if (onces->by_key.count >= ONCES_MAX && list_is_empty(&onces->ended)) {
        err_set_reason(err, ERR_LIMIT, "busy", "%d requests run already", ONCES_MAX);
        return NULL;
    }
    struct once *once = calloc(1, sizeof *once);
    if (once == NULL) {
        err_set(err, ERR_INTERNAL, "once: out of memory");
        return NULL;
    }
    if (onces->by_key.count >= ONCES_MAX) {
        forget(first_of(&onces->ended));
    }
    once->all = onces;
    once->digest = digest;
    once->answer = STR_INIT(ONCE_ANSWER_MAX);
    list_init(&once->waiters);
    once->key_len = key.len < sizeof once->key ? key.len : sizeof once->key;
    memcpy(once->key, key.ptr, once->key_len);
    list_append(&onces->running, &once->node);
    map_insert(&onces->by_key, &once->by_key, (struct view){once->key, once->key_len});
    return once;
}

bool once_check(const struct once *once, uint64_t digest, struct err *err)
{
    return once->digest == digest ||
           err_set_reason(err, ERR_CONFLICT, "idempotency_key_reused",
                          "Another request was sent with this key before.");
}

void once_cancel(struct once *once)
{
    if (once != NULL) {
        forget(once);
    }
}

void once_set_process(struct once *once, const struct process *process)
{
    once->pid = process_pid(process);
    once->serial = process_serial(process);
}

struct process *once_process(const struct once *once, struct processes *processes)
{
    return once->serial == 0 ? NULL : process_find_serial(processes, once->serial);
}

pid_t once_pid(const struct once *once)
{
    return once->pid;
}

bool once_is_running(const struct once *once)
{
    return !once->ended;
}

bool once_wait(struct once *once, const struct reply *reply, struct err *err)
{
    if (once->waiter_count >= ONCE_WAITERS_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too many repeats wait for one answer");
    }
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL) {
        return err_set(err, ERR_INTERNAL, "once: out of memory");
    }
    waiter->reply = *reply;
    list_append(&once->waiters, &waiter->node);
    once->waiter_count++;
    return true;
}

bool once_next_waiter(struct once *once, struct reply *out)
{
    struct list *node = list_pop(&once->waiters);
    if (node == NULL) {
        return false;
    }
    struct waiter *waiter = LIST_ENTRY(node, struct waiter, node);
    *out = waiter->reply;
    once->waiter_count--;
    free(waiter);
    return true;
}

void once_keep_answer(struct once *once, struct view members)
{
    struct onces *onces = once->all;
    if (members.len > ONCE_ANSWER_MAX) {
        return;
    }
    str_append_view(&once->answer, members);
    onces->answer_bytes += once->answer.len;
    for (LIST_EACH(node, &onces->ended)) {
        if (onces->answer_bytes <= ONCE_ANSWERS_BYTES_MAX) {
            return;
        }
        drop_answer(LIST_ENTRY(node, struct once, node));
    }
}

struct view once_answer(const struct once *once)
{
    return str_view(&once->answer);
}

void once_end(struct once *once)
{
    struct onces *onces = once->all;
    once->ended = true;
    once->ended_ms = clock_monotonic_ms();
    list_remove(&once->node);
    list_append(&onces->ended, &once->node);
    if (!timer_is_armed(&onces->expiry)) {
        timer_arm(&onces->expiry, ONCE_KEPT_MS);
    }
}
