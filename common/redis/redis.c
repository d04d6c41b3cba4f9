#include "common/redis/redis.h"

#include "common/base/list.h"
#include "common/redis/link.h"

#include <stdlib.h>

enum {
    REDIS_WORDS_MAX = 16,   /* of one command */
    REDIS_SILENT_MS = 3000, /* commands in flight and no reply at all: the connection is dead */
};

struct redis {
    struct redis_link *link; /* owned */
    struct loop *loop;       /* borrowed */
    struct list in_flight;   /* commands that hiredis has */
    size_t in_flight_count;
    struct timer silence;
    bool closing;
};

/* Belongs to hiredis from sending to its callback, which always comes. */
struct redis_command {
    struct list node;    /* in in_flight */
    struct redis *redis; /* borrowed; NULL once that is closed */
    struct timer timer;
    redis_reply_fn *done; /* NULL once it was called, or nobody waits */
    void *arg;
};

/* Tells the caller, who may close all of this. The memory stays until hiredis is through. */
static void finish(struct redis_command *command, const redisReply *reply, const struct err *err)
{
    redis_reply_fn *done = TAKE(command->done);
    timer_close(&command->timer);
    if (done != NULL) {
        done(reply, err, command->arg);
    }
}

static void on_deadline(void *arg)
{
    struct err err = {0};
    err_set(&err, ERR_TIMEOUT, "redis: no answer in time");
    finish(arg, NULL, &err);
}

static void on_reply(redisAsyncContext *context, void *reply, void *arg)
{
    (void)context;
    struct redis_command *command = arg;
    struct redis *redis = command->redis;
    if (redis != NULL) {
        list_remove(&command->node);
        redis->in_flight_count--;
        if (redis->in_flight_count == 0) {
            timer_disarm(&redis->silence);
        } else {
            timer_arm(&redis->silence, REDIS_SILENT_MS);
        }
        struct err err = {0};
        bool ok = redis_link_check(reply, &err);
        finish(command, ok ? reply : NULL, ok ? NULL : &err);
    }
    free(command);
}

static void on_silence(void *arg)
{
    struct redis *redis = arg;
    redis_link_reset(redis->link, "no reply for 3 s");
}

static void ignore(void *arg)
{
    (void)arg;
}

static const struct redis_link_hooks hooks = {.on_up = ignore, .on_down = ignore};

struct redis *redis_open(struct loop *loop, const char *url, struct err *err)
{
    struct redis_address address;
    if (!redis_address_read(url, &address, err)) {
        return NULL;
    }
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL) {
        err_set(err, ERR_INTERNAL, "redis: out of memory");
        return NULL;
    }
    redis->loop = loop;
    list_init(&redis->in_flight);
    redis->link = redis_link_open(loop, &address, &hooks, redis, err);
    if (redis->link == NULL || !timer_open(&redis->silence, loop, on_silence, redis, err)) {
        redis_close(redis);
        return NULL;
    }
    return redis;
}

void redis_close(struct redis *redis)
{
    if (redis == NULL) {
        return;
    }
    struct err err = {0};
    err_set(&err, ERR_UNAVAILABLE, "redis: shutting down");
    redis->closing = true;
    while (!list_is_empty(&redis->in_flight)) {
        struct redis_command *command =
            LIST_ENTRY(redis->in_flight.next, struct redis_command, node);
        list_remove(&command->node);
        command->redis = NULL;
        finish(command, NULL, &err);
    }
    redis_link_close(redis->link);
    timer_close(&redis->silence);
    free(redis);
}

bool redis_is_up(const struct redis *redis)
{
    return redis_link_context(redis->link) != NULL;
}

static struct redis_command *command_new(struct redis *redis, int64_t timeout_ms,
                                         redis_reply_fn *done, void *arg, struct err *err)
{
    struct redis_command *command = calloc(1, sizeof *command);
    if (command == NULL || !timer_open(&command->timer, redis->loop, on_deadline, command, err)) {
        free(command);
        err_set(err, ERR_INTERNAL, "redis: out of memory");
        return NULL;
    }
    command->redis = redis;
    command->done = done;
    command->arg = arg;
    timer_arm(&command->timer, timeout_ms);
    return command;
}

static bool check_can_send(const struct redis *redis, size_t word_count, struct err *err)
{
    if (redis->closing || redis_link_context(redis->link) == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "redis: not connected");
    }
    if (redis->in_flight_count >= REDIS_PENDING_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too many commands wait; try again");
    }
    return word_count <= REDIS_WORDS_MAX ||
           err_set(err, ERR_INTERNAL, "redis: a command of %zu words", word_count);
}

bool redis_send(struct redis *redis, const struct view *words, size_t word_count,
                int64_t timeout_ms, redis_reply_fn *done, void *arg, struct err *err)
{
    const char *starts[REDIS_WORDS_MAX];
    size_t lengths[REDIS_WORDS_MAX];
    if (!check_can_send(redis, word_count, err)) {
        return false;
    }
    for (size_t i = 0; i < word_count; i++) {
        starts[i] = words[i].len == 0 ? "" : words[i].ptr;
        lengths[i] = words[i].len;
    }
    struct redis_command *command = command_new(redis, timeout_ms, done, arg, err);
    if (command == NULL) {
        return false;
    }
    if (redisAsyncCommandArgv(redis_link_context(redis->link), on_reply, command, (int)word_count,
                              starts, lengths) != REDIS_OK) {
        timer_close(&command->timer);
        free(command);
        return err_set(err, ERR_UNAVAILABLE, "redis: the connection broke");
    }
    list_append(&redis->in_flight, &command->node);
    redis->in_flight_count++;
    if (redis->in_flight_count == 1) {
        timer_arm(&redis->silence, REDIS_SILENT_MS);
    }
    return true;
}

void redis_cancel(struct redis *redis, const void *arg)
{
    for (LIST_EACH(node, &redis->in_flight)) {
        struct redis_command *command = LIST_ENTRY(node, struct redis_command, node);
        if (command->arg == arg) {
            command->done = NULL;
        }
    }
}
